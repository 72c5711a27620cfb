"""Retention: removes what is old. A run is removed with everything that belongs to it, in one commit.

Dedupe keys outlive the runs that they name: a duplicate gets the ids of runs that may be gone. Each unit checks again
what its caller found, so that a run which was reopened in between is kept.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from durable.history.words import EndStatus
from durable.ids import first_id
from durable.journal.dedupe import DedupeKeys
from durable.journal.dialect import SQL, Cursor, Params
from durable.journal.feed import Feed
from durable.journal.payloads import PayloadWrites
from durable.journal.runs import IS_UNFINISHED
from durable.journal.tables import (
    audit_log,
    bulk_items,
    bulks,
    dedupe_keys,
    definitions,
    deliveries,
    entries,
    events,
    inbox,
    matched_events,
    payloads,
    runs,
    slots,
    subscriptions,
    tags,
    trace_exports,
)

Removable: TypeAlias = Literal["runs", "events", "deliveries", "dedupe_keys", "definitions", "bulks", "audit"]
"""The nouns whose rows are removed when they are old."""

PAGE = 500
"""The number of rows that a read examines."""

_HAS_ENDED = runs.c.finished_at.is_not(None)
_HAS_RUN = exists().where(runs.c.event == events.c.id)
_HAS_MATCHED = exists().where(matched_events.c.event == events.c.id)


class EndedRun(NamedTuple):
    """A run that may be removed. `entries`: the length of its history."""

    id: str
    entries: int


class RetentionWrites:
    """Removes rows, for units."""

    def __init__(self, sql: SQL, payloads: PayloadWrites, keys: DedupeKeys, feed: Feed) -> None:
        self._feed = feed
        self._payloads = payloads
        self._keys = keys
        of_row: BindParameter[str] = bindparam("of")
        before: BindParameter[int] = bindparam("before")
        self._find_run_sql = sql.compile(
            select(runs.c.event, runs.c.origin, runs.c.nth).where(runs.c.id == of_row, runs.c.finished_at < before)
        )
        in_chain = runs.c.origin == bindparam("chain")
        self._find_last_sql = sql.compile(select(func.max(runs.c.nth)).where(in_chain))
        self._find_live_sql = sql.compile(
            select(runs.c.id).where(IS_UNFINISHED, or_(in_chain, runs.c.event == bindparam("chain")))
        )
        self._remove_run_sql = [
            *(
                sql.compile(delete(table).where(table.c.run == of_row))
                for table in (entries, tags, inbox, slots, subscriptions, matched_events, trace_exports)
            ),
            sql.compile(delete(runs).where(runs.c.id == of_row)),
        ]
        event_sql = delete(events).where(events.c.id == of_row, ~_HAS_RUN, ~_HAS_MATCHED)
        self._remove_event_sql = sql.compile(event_sql)
        self._remove_delivery_sql = sql.compile(delete(deliveries).where(deliveries.c.id == of_row))
        self._remove_audit_sql = sql.compile(delete(audit_log).where(audit_log.c.id == of_row))
        self._remove_key_sql = sql.compile(
            delete(dedupe_keys).where(
                dedupe_keys.c.scope == bindparam("scope"),
                dedupe_keys.c.key == bindparam("key"),
                dedupe_keys.c.until <= bindparam("now"),
            )
        )
        is_old_bulk = (bulks.c.id == of_row) & (bulks.c.finished_at < before)
        of_bulk = bulk_items.c.bulk == of_row
        some = select(bulk_items.c.item).where(of_bulk, exists().where(is_old_bulk))
        page = some.limit(literal_column(str(PAGE))).offset(literal_column("0"))
        self._remove_items_sql = sql.compile(delete(bulk_items).where(of_bulk, bulk_items.c.item.in_(page)))
        self._remove_bulk_sql = sql.compile(delete(bulks).where(is_old_bulk))
        self._remove_definition_sql = sql.compile(
            delete(definitions).where(definitions.c.version == of_row, ~exists().where(runs.c.version == of_row))
        )

    def remove(self, cursor: Cursor, noun: Removable, rows: Sequence[Any], before: int) -> int:
        """Remove those of the rows that are still old: runs that ended before this time (ms) and dedupe keys (scope,
        key) that expired before it; events and definitions that no run refers to; any delivery, and any row of the
        audit log. A bulk that ended before this time loses a page of its items, and is removed with the last. Returns
        the number of removed rows."""
        match noun:
            case "runs":
                return sum(self._remove_run(cursor, run, before) for run in rows)
            case "events":
                return sum(self._remove_event(cursor, event) for event in rows)
            case "deliveries":
                return sum(_remove(cursor, self._remove_delivery_sql, {"of": delivery}) for delivery in rows)
            case "audit":
                return sum(_remove(cursor, self._remove_audit_sql, {"of": record}) for record in rows)
            case "dedupe_keys":
                keys = ({"scope": scope, "key": key, "now": before} for scope, key in rows)
                return sum(_remove(cursor, self._remove_key_sql, key) for key in keys)
            case "bulks":
                return sum(self._remove_bulk(cursor, bulk, before) for bulk in rows)
            case "definitions":
                return sum(_remove(cursor, self._remove_definition_sql, {"of": version}) for version in rows)

    def _remove_run(self, cursor: Cursor, run: str, before: int) -> bool:
        cursor.execute(self._find_run_sql, {"of": run, "before": before})
        if (found := cursor.fetchone()) is None:
            return False
        event, origin, nth = found
        if origin is not None and self._numbers_next(cursor, origin, nth):
            return False
        for remove in self._remove_run_sql:
            cursor.execute(remove, {"of": run})
        self._feed.note("runs", run)
        self._keys.forget_run(cursor, run)
        self._payloads.disown(cursor, run)
        self._remove_event(cursor, event)
        return True

    def _remove_bulk(self, cursor: Cursor, bulk: str, before: int) -> int:
        row: Params = {"of": bulk, "before": before}
        if _remove(cursor, self._remove_items_sql, row) == PAGE:
            return 0
        return _remove(cursor, self._remove_bulk_sql, row)

    def _numbers_next(self, cursor: Cursor, origin: str, nth: int) -> bool:
        """Whether the next run that descends from the event gets its number from this one: it is the newest, and a run
        that could start another has not ended."""
        cursor.execute(self._find_last_sql, {"chain": origin})
        if cursor.fetchone()[0] != nth:
            return False
        cursor.execute(self._find_live_sql, {"chain": origin})
        return cursor.fetchone() is not None

    def _remove_event(self, cursor: Cursor, event: str) -> bool:
        if not _remove(cursor, self._remove_event_sql, {"of": event}):
            return False
        self._payloads.disown(cursor, event)
        return True


def _remove(cursor: Cursor, sql: str, row: Params) -> int:
    cursor.execute(sql, row)
    return cursor.rowcount


# -- reads


def list_pipelines(connection: Connection) -> list[str]:
    """Return the pipelines that have runs, with one index lookup each."""
    names = select(func.min(runs.c.pipeline).label("name")).cte("names", recursive=True)
    following = select(func.min(runs.c.pipeline)).where(runs.c.pipeline > names.c.name)
    names = names.union_all(select(following.scalar_subquery()).where(names.c.name.is_not(None)))
    return list(connection.scalars(select(names.c.name).where(names.c.name.is_not(None))))


def list_ended(
    connection: Connection, pipeline: str, status: EndStatus, before: int, last: str | None, after: str
) -> list[EndedRun]:
    """Return runs of a pipeline that ended before a time (ms), oldest first: those after the id `after`, and with
    `last` none after that one."""
    # A run is created before it ends, so the id bounds the part of the index that is read.
    bound = runs.c.id < first_id("run", before) if last is None else runs.c.id <= last
    query = select(runs.c.id, runs.c.sequence).where(
        runs.c.pipeline == pipeline,
        runs.c.status == status,
        _HAS_ENDED,
        runs.c.finished_at < before,
        runs.c.id > after,
        bound,
    )
    return [EndedRun(id, count) for id, count in connection.execute(query.order_by(runs.c.id).limit(PAGE))]


def find_last_beyond(connection: Connection, pipeline: str, kept: int) -> str | None:
    """Return the newest of a pipeline's ended runs that is not among the newest `kept`; None if there is none."""
    ids = union_all(
        *(
            select(runs.c.id).where(
                runs.c.pipeline == pipeline, runs.c.status == literal_column(f"'{status}'"), _HAS_ENDED
            )
            for status in ("completed", "failed", "cancelled")
        )
    )
    return connection.scalar(ids.order_by(literal_column("id").desc()).limit(1).offset(kept))


def list_events(connection: Connection, before: int, after: str) -> list[tuple[str, bool]]:
    """Return a page of the events that arrived before a time (ms), after the id `after`: their ids, and whether a run
    refers to them."""
    page = select(events.c.id).where(events.c.id > after, events.c.id < first_id("evt", before))
    of_page = page.order_by(events.c.id).limit(PAGE).subquery()
    has_run = exists().where(runs.c.event == of_page.c.id)
    has_matched = exists().where(matched_events.c.event == of_page.c.id)
    query = select(of_page.c.id, or_(has_run, has_matched)).order_by(of_page.c.id)
    return [(id, bool(is_used)) for id, is_used in connection.execute(query)]


def list_deliveries(connection: Connection, before: int) -> list[str]:
    """Return the oldest deliveries that arrived before a time (ms)."""
    query = select(deliveries.c.id).where(deliveries.c.id < first_id("dlv", before))
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(PAGE)))


def list_audit_ids(connection: Connection, before: int) -> list[str]:
    """Return the oldest rows of the audit log from before a time (ms)."""
    query = select(audit_log.c.id).where(audit_log.c.id < first_id("aud", before))
    return list(connection.scalars(query.order_by(audit_log.c.id).limit(PAGE)))


def list_keys(connection: Connection, after: tuple[str, str]) -> list[tuple[str, str, int]]:
    """Return a page of dedupe keys after the key `after`: scope, key, and when they expire (ms)."""
    place = (dedupe_keys.c.scope, dedupe_keys.c.key)
    query = select(*place, dedupe_keys.c.until).where(tuple_(*place) > tuple_(*after))
    return [(scope, key, until) for scope, key, until in connection.execute(query.order_by(*place).limit(PAGE))]


def list_unused_definitions(connection: Connection, before: int) -> list[str]:
    """Return the versions, stored before a time (ms), that no run has."""
    query = select(definitions.c.version).where(
        definitions.c.created_at < before, ~exists().where(runs.c.version == definitions.c.version)
    )
    return list(connection.scalars(query))


def list_bulks(connection: Connection, before: int) -> list[str]:
    """Return the bulks that ended before a time (ms)."""
    return list(connection.scalars(select(bulks.c.id).where(bulks.c.finished_at < before).limit(PAGE)))


# -- what there is

COUNTED = {
    "runs": runs,
    "events": events,
    "deliveries": deliveries,
    "dedupe_keys": dedupe_keys,
    "payloads": payloads,
    "definitions": definitions,
    "audit": audit_log,
}
"""The nouns that are counted, with their tables."""


def count_rows(connection: Connection, noun: str) -> int:
    """Count the rows of a noun; takes about 10 ms for a million."""
    return connection.scalar(select(func.count()).select_from(COUNTED[noun])) or 0


def find_oldest_start(connection: Connection) -> int | None:
    """Return when the oldest run was created (ms); None if there is no run."""
    return connection.scalar(select(runs.c.created_at).order_by(runs.c.id).limit(1))
