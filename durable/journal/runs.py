"""Runs: one row each, with the columns that lists show, its due time, and its owner's fence (`epoch`, `sequence`)."""

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict, Unpack, get_args

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from durable.history.words import EndStatus, RunStatus
from durable.journal.dialect import SQL, Cursor
from durable.journal.errors import TooManyRuns
from durable.journal.tables import runs, tags
from durable.reports import UnfinishedRuns
from durable.units import Cause, Descent, Run, UnfinishedRun

IS_UNFINISHED = runs.c.finished_at.is_(None)
IS_HALTED = and_(IS_UNFINISHED, runs.c.status != literal_column("'running'"))
"""The runs that have not ended and do not go on now, in the words of their index."""


class RunFilter(TypedDict, total=False):
    """Selects runs to list: those with ids of at least `since` and less than `before` and `after`, at most `limit`.

    `is_oldest_first`: those with ids greater than `after`, in this order.
    `ended_before`: only runs that have not ended, or ended before that time (ms).
    `is_first`: only runs that repeat nothing.
    `is_repeated`: only runs that another repeats, or only those that none does."""

    pipeline: str | None
    status: RunStatus | None
    trigger: str | None
    event: str | None
    error_key: str | None
    version: str | None
    source: str | None
    tag: str | None
    ids: Sequence[str] | None
    is_unfinished: bool
    is_first: bool
    ended_before: int | None
    is_repeated: bool | None
    since: str | None
    before: str | None
    after: str | None
    is_oldest_first: bool
    limit: int


class RunWrites:
    """Reads and writes runs, for units; `ownership` handles their owners."""

    def __init__(self, sql: SQL) -> None:
        self.add_sql = sql.compile(sql.insert(runs))
        self.add_tag_sql = sql.compile(sql.insert(tags).on_conflict_do_nothing())
        changed = ("sequence", "status", "reason", "due_at", "finished_at", "cause", "error_key")
        self.advance_sql = sql.compile(
            update(runs)
            .where(
                runs.c.id == bindparam("run"),
                runs.c.epoch == bindparam("of_epoch"),
                runs.c.sequence == bindparam("after"),
            )
            .values({name: bindparam(name) for name in changed} | {"recoveries": runs.c.recoveries * bindparam("kept")})
        )
        self._find_unfinished_sql = sql.compile(select(runs.c.id).where(runs.c.id == bindparam("run"), IS_UNFINISHED))
        self._find_failed_sql = sql.compile(
            select(runs.c.id).where(runs.c.id == bindparam("run"), runs.c.status == bindparam("status"))
        )
        self.find_last_number_sql = sql.compile(
            select(func.max(runs.c.nth)).where(runs.c.origin == bindparam("origin"))
        )

    def is_unfinished(self, cursor: Cursor, run: str) -> bool:
        """Whether the run exists and has not ended."""
        cursor.execute(self._find_unfinished_sql, {"run": run})
        return cursor.fetchone() is not None

    def find_failed(self, cursor: Cursor, ids: Sequence[str]) -> tuple[str, ...]:
        """Return those of these runs that have failed."""
        return tuple(id for id in ids if self._is_failed(cursor, id))

    def _is_failed(self, cursor: Cursor, run: str) -> bool:
        cursor.execute(self._find_failed_sql, {"run": run, "status": "failed"})
        return cursor.fetchone() is not None

    def count_descendants(self, cursor: Cursor, descent: Descent, more: int) -> int:
        """Return the number of runs that descend from an event; raises `TooManyRuns` if `more` would exceed the
        limit."""
        # Read the number from the newest run's row: counting ten thousand rows would delay all other commits. It
        # remains correct when old runs are deleted, as long as the newest is kept.
        cursor.execute(self.find_last_number_sql, {"origin": descent.origin})
        count: int = cursor.fetchone()[0] or 0
        if count + more > descent.limit:
            raise TooManyRuns(descent.origin, count, descent.limit)
        return count


# -- reads


def find_run(connection: Connection, id: str) -> Run | None:
    found = _load_runs(connection, select(runs).where(runs.c.id == id))
    return found[0] if found else None


def load_runs(connection: Connection, ids: Sequence[str]) -> list[Run]:
    """Return these runs, without those that do not exist."""
    return _load_runs(connection, select(runs).where(runs.c.id.in_(ids)))


def find_statuses(connection: Connection, ids: Sequence[str]) -> dict[str, RunStatus]:
    """Return the statuses of these runs, without those that do not exist."""
    found = connection.execute(select(runs.c.id, runs.c.status).where(runs.c.id.in_(ids)))
    return {row.id: row.status for row in found}


def list_runs(connection: Connection, **wanted: Unpack[RunFilter]) -> list[Run]:
    """Return runs, newest first unless asked otherwise."""
    query, id = _filter_runs(select(runs), wanted)
    order = id.asc() if wanted.get("is_oldest_first") else id.desc()
    return _load_runs(connection, query.order_by(order).limit(wanted.get("limit", 50)))


def select_run_ids(**wanted: Unpack[RunFilter]) -> Select[tuple[str]]:
    """Return the query of the ids of these runs, without order and limit."""
    query, id = _filter_runs(select(runs.c.id), wanted)
    return query.with_only_columns(id)


def _filter_runs(query: Select[Any], wanted: RunFilter) -> tuple[Select[Any], ColumnElement[str]]:
    """Return a query of `runs` with the conditions of a filter, and the column of ids to sort by."""
    equal = (
        *(runs.c.pipeline, runs.c.status, runs.c.trigger, runs.c.event),
        *(runs.c.error_key, runs.c.version, runs.c.source),
    )
    values: dict[str, Any] = dict(wanted)
    query = query.where(*(column == value for column in equal if (value := values.get(column.name)) is not None))
    if (status := wanted.get("status")) is not None:  # repeats the partial indexes' conditions, so that they are used
        query = query.where(_find_index(status))
    if wanted.get("is_unfinished"):
        query = query.where(IS_UNFINISHED)
    if wanted.get("is_first"):
        query = query.where(runs.c.source.is_(None))
    if (ended_before := wanted.get("ended_before")) is not None:
        query = query.where(or_(IS_UNFINISHED, runs.c.finished_at < ended_before))
    if (is_repeated := wanted.get("is_repeated")) is not None:
        query = query.where(is_source(runs.c.id) if is_repeated else ~is_source(runs.c.id))
    id: ColumnElement[str] = runs.c.id
    if (tag := wanted.get("tag")) is not None:
        id = tags.c.run
        query = query.join_from(tags, runs, tags.c.run == runs.c.id).where(tags.c.tag == tag)
    if (ids := wanted.get("ids")) is not None:
        query = query.where(id.in_(ids))
    if (since := wanted.get("since")) is not None:
        query = query.where(id >= since)
    if (before := wanted.get("before")) is not None:
        query = query.where(id < before)
    if (after := wanted.get("after")) is not None:
        query = query.where(id > after if wanted.get("is_oldest_first") else id < after)
    return query, id


def _find_index(status: RunStatus) -> ColumnElement[bool]:
    """Return the condition of the partial index that has the runs with this status."""
    if status in get_args(EndStatus):
        return runs.c.finished_at.is_not(None)
    return IS_UNFINISHED if status == "running" else IS_HALTED


def list_repeats(connection: Connection, run: str, limit: int) -> list[Run]:
    """Return the newest runs that repeat this run."""
    return _load_runs(connection, select(runs).where(runs.c.source == run).order_by(runs.c.id.desc()).limit(limit))


def find_newest_repeat(connection: Connection, id: str) -> str | None:
    """Return the newest run that repeats this run or delivery."""
    return connection.scalar(select(runs.c.id).where(runs.c.source == id).order_by(runs.c.id.desc()).limit(1))


def is_source(id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a run repeats the run or delivery in this column."""
    repeats = runs.alias()
    return exists().where(repeats.c.source == id)


def list_pipelines(connection: Connection) -> list[str]:
    """Return the pipelines that have runs."""
    names = select_distinct(runs.c.pipeline, [])
    return list(connection.scalars(select(names.c.name).where(names.c.name.is_not(None))))


def list_triggers(connection: Connection) -> list[str]:
    """Return the triggers that have started runs."""
    names = select_distinct(runs.c.trigger, [])
    return list(connection.scalars(select(names.c.name).where(names.c.name.is_not(None))))


def select_distinct(column: ColumnElement[Any], bounds: list[ColumnElement[bool]]) -> Any:
    """Return a table expression of a column's values (`name`, the last one NULL), each found by one look-up in an index
    that begins with the columns of the bounds and this one."""
    names = select(func.min(column).label("name")).where(*bounds).cte("names", recursive=True)
    following = select(func.min(column)).where(*bounds, column > names.c.name).scalar_subquery()
    return names.union_all(select(following).where(names.c.name.is_not(None)))


def list_unfinished(
    connection: Connection, limit: int, after: str | None = None, *, not_of: str | None = None
) -> list[UnfinishedRun]:
    """Return runs that have not ended, oldest first; with `not_of`, only runs owned by another node."""
    columns = (runs.c.id, runs.c.pipeline, runs.c.due_at, runs.c.recoveries, runs.c.node, runs.c.sequence)
    query = select(*columns).where(IS_UNFINISHED)
    if after is not None:
        query = query.where(runs.c.id > after)
    if not_of is not None:
        query = query.where(runs.c.node != not_of)
    return [
        UnfinishedRun(row.id, row.pipeline, row.due_at, row.recoveries, row.node is not None, row.sequence)
        for row in connection.execute(query.order_by(runs.c.id).limit(limit))
    ]


def count_unfinished(connection: Connection, limit: int) -> list[UnfinishedRuns]:
    """Count the oldest unfinished runs, up to a limit, by their status; takes about 1 ms for 1,000."""
    some = select(runs.c.status, runs.c.created_at).where(IS_UNFINISHED).order_by(runs.c.id).limit(limit).subquery()
    query = select(some.c.status, func.count(), func.min(some.c.created_at)).group_by(some.c.status)
    return [UnfinishedRuns(*row) for row in connection.execute(query)]


def find_newest_start(connection: Connection) -> int | None:
    """Return when the newest run was created (ms); None if there is no run."""
    return connection.scalar(select(runs.c.created_at).order_by(runs.c.id.desc()).limit(1))


def _load_runs(connection: Connection, query: Select[Any]) -> list[Run]:
    """Return the runs that a query selects, with their tags."""
    found = connection.execute(query).mappings().all()
    of_these = tags.c.run.in_([row["id"] for row in found])
    tags_of: dict[str, list[str]] = {}
    for run, tag in connection.execute(select(tags.c.run, tags.c.tag).where(of_these).order_by(tags.c.tag)):
        tags_of.setdefault(run, []).append(tag)
    return [_decode_run(row, tags_of.get(row["id"], ())) for row in found]


def _decode_run(row: RowMapping, tags: Iterable[str]) -> Run:
    values: dict[str, Any] = dict(row)
    values["cause"] = decode_cause(row["cause"])
    return Run(**values, tags=tuple(tags))


def encode_cause(cause: Cause) -> str:
    """Encode a cause as a run's row keeps it."""
    return _encode(cause).decode()


def decode_cause(text: str | None) -> Cause | None:
    """Decode a cause as a run's row keeps it."""
    try:
        return _CAUSES.decode(text) if text else None
    except msgspec.MsgspecError:  # a damaged row is shown without its cause
        return None


_encode = msgspec.json.Encoder().encode
_CAUSES = msgspec.json.Decoder(Cause)
