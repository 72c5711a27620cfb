"""Trace exports: how far the spans of each run were exported, and which runs are to be exported.

A run is noted in the commit with which it ends, so a crash loses none. Nothing is noted while traces are not exported.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from durable.ids import first_id
from durable.journal.dialect import SQL, Cursor, Params
from durable.journal.runs import IS_UNFINISHED
from durable.journal.tables import runs, trace_exports


class TraceExport(NamedTuple):
    """How far a run was exported: the spans that end with entry number `sent` or before."""

    run: str
    sent: int


class TraceExportWrites:
    """Writes trace exports, for units. `is_on`: traces are exported."""

    def __init__(self, sql: SQL) -> None:
        self.is_on = False
        new = sql.insert(trace_exports)
        changing = {name: new.excluded[name] for name in ("ended", "ended_at")}
        self._add_sql = sql.compile(new.on_conflict_do_update(index_elements=["run"], set_=changing))
        self._find_run_sql = sql.compile(select(runs.c.id).where(runs.c.id == bindparam("of")))
        self._keep_sql = sql.compile(
            new.on_conflict_do_update(index_elements=["run"], set_={"sent": new.excluded.sent})
        )

    def note_end(self, cursor: Cursor, run: str, row: Params) -> None:
        """Note that a run has ended, as the columns of its row say."""
        ended = {"ended": row["sequence"], "ended_at": row["finished_at"]}
        cursor.execute(self._add_sql, {"run": run, "sent": 0, **ended})

    def keep(self, cursor: Cursor, exports: Sequence[TraceExport]) -> None:
        """Store how far runs were exported, except those that were removed."""
        for run, sent in exports:
            cursor.execute(self._find_run_sql, {"of": run})
            if cursor.fetchone() is not None:
                cursor.execute(self._keep_sql, {"run": run, "sent": sent, "ended": 0, "ended_at": 0})


# -- reads


def list_ended(connection: Connection, limit: int) -> list[TraceExport]:
    """Return ended runs that are to be exported, in the order of their ends."""
    unsent = trace_exports.c.ended > trace_exports.c.sent
    query = select(trace_exports.c.run, trace_exports.c.sent).where(unsent)
    query = query.order_by(trace_exports.c.ended_at, trace_exports.c.run).limit(limit)
    return [TraceExport(run, sent) for run, sent in connection.execute(query)]


def list_unfinished(connection: Connection, before: int, after: str, limit: int) -> list[TraceExport]:
    """Return unfinished runs that were created before a time (ms) and have entries that were not exported, oldest
    first, after the id `after`."""
    sent = func.coalesce(trace_exports.c.sent, 0)
    query = select(runs.c.id, sent).outerjoin(trace_exports, trace_exports.c.run == runs.c.id)
    query = query.where(IS_UNFINISHED, runs.c.id > after, runs.c.id < first_id("run", before), runs.c.sequence > sent)
    return [TraceExport(run, sent) for run, sent in connection.execute(query.order_by(runs.c.id).limit(limit))]


def find_backlog(connection: Connection) -> tuple[int, int | None]:
    """Return how many ended runs are to be exported, and when the first of them ended (ms)."""
    unsent = trace_exports.c.ended > trace_exports.c.sent
    query = select(func.count(), func.min(trace_exports.c.ended_at)).where(unsent)
    count, oldest = connection.execute(query).one()
    return count, oldest
