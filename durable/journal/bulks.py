"""Bulks: actions on many runs or deliveries, with the items that each has selected and what became of them."""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import asdict
from sqlalchemy import Connection, Row, Select, bindparam, func, select, update

from durable.bulks import (
    REPEATING,
    Bulk,
    BulkAction,
    BulkFilter,
    BulkItem,
    BulkMatches,
    BulkOutcome,
    BulkStatus,
)
from durable.ids import first_id
from durable.journal.deliveries import select_delivery_ids
from durable.journal.dialect import SQL, Cursor
from durable.journal.feed import Feed
from durable.journal.payloads import DECODING_ERRORS
from durable.journal.runs import select_run_ids
from durable.journal.tables import bulk_items, bulks, runs

UNFINISHED: tuple[BulkStatus, ...] = ("running", "stopping")

log = logging.getLogger("waypost.bulk")

_encode = msgspec.json.Encoder().encode
_decode_filter = msgspec.json.Decoder(BulkFilter).decode


class BulkWrites:
    """Writes bulks, for units."""

    def __init__(self, sql: SQL, feed: Feed) -> None:
        self._feed = feed
        is_bulk = bulks.c.id == bindparam("bulk")
        self._add_sql = sql.compile(sql.insert(bulks))
        self._add_item_sql = sql.compile(
            sql.insert(bulk_items).on_conflict_do_nothing(), columns=["bulk", "item", "outcome"]
        )
        self._move_sql = sql.compile(update(bulks).where(is_bulk).values(cursor=bindparam("last")))
        self._keep_item_sql = sql.compile(
            update(bulk_items)
            .where(bulk_items.c.bulk == bindparam("of"), bulk_items.c.item == bindparam("named"))
            .values(outcome=bindparam("outcome"), run=bindparam("run"), reason=bindparam("reason"))
        )
        self._count_sql = sql.compile(
            update(bulks)
            .where(is_bulk)
            .values(done=bulks.c.done + bindparam("more_done"), refused=bulks.c.refused + bindparam("more_refused"))
        )
        self._set_rate_sql = sql.compile(update(bulks).where(is_bulk).values(rate=bindparam("rate")))
        self._change_sql = sql.compile(
            update(bulks)
            .where(is_bulk, bulks.c.status == bindparam("before"))
            .values(status=bindparam("status"), finished_at=bindparam("at"), stopped_by=bindparam("who"))
        )

    def add(self, cursor: Cursor, bulk: Bulk) -> None:
        cursor.execute(self._add_sql, asdict(bulk) | {"filter": _encode(bulk.filter)})
        self._feed.note("bulks", bulk.id)

    def add_items(self, cursor: Cursor, bulk: str, items: Sequence[str]) -> None:
        """Record the next items of a bulk, in order: they are pending, and the last is its cursor."""
        for item in items:
            cursor.execute(self._add_item_sql, {"bulk": bulk, "item": item, "outcome": "pending"})
        cursor.execute(self._move_sql, {"bulk": bulk, "last": items[-1]})
        self._feed.note("bulks", bulk)

    def keep_outcomes(self, cursor: Cursor, bulk: str, items: Sequence[BulkItem]) -> None:
        """Record what became of pending items, and count them."""
        for each in items:
            outcome = {"outcome": each.outcome, "run": each.run, "reason": each.reason}
            cursor.execute(self._keep_item_sql, {"of": bulk, "named": each.item, **outcome})
        done = sum(each.outcome == "done" for each in items)
        refused = sum(each.outcome == "refused" for each in items)
        cursor.execute(self._count_sql, {"bulk": bulk, "more_done": done, "more_refused": refused})
        self._feed.note("bulks", bulk)

    def change_status(
        self, cursor: Cursor, bulk: str, before: BulkStatus, status: BulkStatus, at: int | None, by: str | None
    ) -> bool:
        """Change a bulk's status, its `finished_at` and its `stopped_by`; False unless its status is `before`."""
        cursor.execute(self._change_sql, {"bulk": bulk, "before": before, "status": status, "at": at, "who": by})
        self._feed.note("bulks", bulk)
        return cursor.rowcount == 1

    def resume(self, cursor: Cursor, bulk: str, rate: int | None) -> bool:
        """Set a stopped bulk to running, with another rate if one is given; False if it is not stopped."""
        is_resumed = self.change_status(cursor, bulk, "stopped", "running", None, None)
        if is_resumed and rate is not None:
            cursor.execute(self._set_rate_sql, {"bulk": bulk, "rate": rate})
        return is_resumed


# -- reads


def find_bulk(connection: Connection, id: str) -> Bulk | None:
    row = connection.execute(select(bulks).where(bulks.c.id == id)).first()
    return _decode_row(row) if row else None


def list_bulks(connection: Connection, limit: int, after: str | None = None) -> list[Bulk]:
    """Return bulks, newest first."""
    query = select(bulks) if after is None else select(bulks).where(bulks.c.id < after)
    return list(islice(_decode_rows(connection, query.order_by(bulks.c.id.desc())), limit))


def list_unfinished_bulks(connection: Connection) -> list[Bulk]:
    """Return the bulks that are at work, or are about to stop, oldest first."""
    query = select(bulks).where(bulks.c.status.in_(UNFINISHED)).order_by(bulks.c.id)
    return list(_decode_rows(connection, query))


def list_bulk_items(
    connection: Connection, bulk: str, limit: int, after: str | None = None, outcome: BulkOutcome | None = None
) -> list[BulkItem]:
    """Return the items that a bulk has selected, oldest first, with the statuses that their runs have now."""
    columns = (bulk_items.c.item, bulk_items.c.outcome, bulk_items.c.run, bulk_items.c.reason, runs.c.status)
    joined = bulk_items.outerjoin(runs, runs.c.id == bulk_items.c.run)
    query = select(*columns).select_from(joined).where(bulk_items.c.bulk == bulk)
    if outcome is not None:
        query = query.where(bulk_items.c.outcome == outcome)
    if after is not None:
        query = query.where(bulk_items.c.item > after)
    return [BulkItem(**row._mapping) for row in connection.execute(query.order_by(bulk_items.c.item).limit(limit))]


# -- the items that match


def measure_matches(connection: Connection, action: BulkAction, filter: BulkFilter, limit: int) -> BulkMatches:
    """Count the items that a bulk would have now, up to `limit`, and find the oldest and the newest."""
    is_repeated = _select_repeated(action, filter)
    query = _select_matches(action, filter, None, is_repeated=is_repeated)
    (id,) = query.selected_columns
    count = _count(connection, query, limit + 1)
    left_out = is_repeated is False and _select_matches(action, filter, None, is_repeated=True)
    oldest = connection.scalar(query.order_by(id).limit(1))
    newest = connection.scalar(query.order_by(id.desc()).limit(1))
    repeated = _count(connection, left_out, limit) if left_out is not False else 0
    return BulkMatches(min(count, limit), count <= limit, oldest, newest, repeated)


def list_next_matches(connection: Connection, bulk: Bulk, limit: int) -> list[str]:
    """Return the items that match and come after the bulk's cursor, oldest first. A run that ended after the bulk was
    created does not match."""
    is_repeated = _select_repeated(bulk.action, bulk.filter)
    query = _select_matches(bulk.action, bulk.filter, bulk.created_at, is_repeated=is_repeated)
    (id,) = query.selected_columns
    if bulk.cursor is not None:
        query = query.where(id > bulk.cursor)
    return list(connection.scalars(query.order_by(id).limit(limit)))


def _count(connection: Connection, query: Select[Any], limit: int) -> int:
    return connection.scalar(select(func.count()).select_from(query.limit(limit).subquery())) or 0


def _select_repeated(action: BulkAction, filter: BulkFilter) -> bool | None:
    """Return whether only items that were repeated match, or only others; None: both."""
    return False if action in REPEATING and not filter.again else None


def _select_matches(
    action: BulkAction, filter: BulkFilter, ended_before: int | None, *, is_repeated: bool | None
) -> Select[Any]:
    kind = "dlv" if action == "replay" else "run"
    since = first_id(kind, filter.since) if filter.since is not None else None
    before = first_id(kind, filter.until)
    if action == "replay":
        return select_delivery_ids(
            trigger=filter.trigger,
            outcome=filter.outcome,
            ids=filter.ids,
            is_repeated=is_repeated,
            since=since,
            before=before,
        )
    return select_run_ids(
        pipeline=filter.pipeline,
        status=filter.status,
        is_unfinished=filter.status is None,
        ended_before=ended_before,
        is_repeated=is_repeated,
        tag=filter.tag,
        trigger=filter.trigger,
        error_key=filter.error,
        version=filter.version,
        ids=filter.ids,
        since=since,
        before=before,
    )


def _decode_rows(connection: Connection, query: Select[Any]) -> Iterator[Bulk]:
    """The bulks of a query, without those that are damaged: one of them must not keep a service from its start."""
    for row in connection.execute(query):
        try:
            yield _decode_row(row)
        except DECODING_ERRORS as error:
            log.warning("a bulk is damaged and left out: %s", error, extra={"bulk": row.id})


def _decode_row(row: Row[tuple[object, ...]]) -> Bulk:
    return Bulk(**{**row._mapping, "filter": _decode_filter(row.filter), "is_exact": bool(row.is_exact)})
