"""Ownership: which node advances a run, and which unfinished runs have no owner.

A takeover increments the run's epoch, so that the previous owner can no longer append.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, func, literal_column, or_, select, update

from durable.journal.dialect import SQL, Cursor
from durable.journal.feed import Feed
from durable.journal.histories import HistoryWrites
from durable.journal.runs import IS_UNFINISHED
from durable.journal.tables import runs
from durable.units import Takeover

FIRST_EPOCH = 1

LATEST = 2**53
"""The latest valid due time, in ms since 1970: 285,000 years."""

_IS_RUN = runs.c.id == bindparam("run")
_IS_OWNED = (runs.c.node == bindparam("owner"), IS_UNFINISHED)
_IS_UNOWNED = (IS_UNFINISHED, runs.c.node.is_(None))

_count_appended = msgspec.json.Decoder(list[msgspec.Raw]).decode


class OwnershipWrites:
    """Writes the owners of runs, for units of one node."""

    def __init__(self, sql: SQL, node: str, histories: HistoryWrites, feed: Feed) -> None:
        self._node = node
        self._feed = feed
        self._histories = histories
        release = update(runs).where(*_IS_OWNED).values(node=literal_column("NULL"))
        self.take_over_sql = sql.compile(
            update(runs)
            .where(_IS_RUN, IS_UNFINISHED)
            .values(
                epoch=runs.c.epoch + literal_column("1"),
                recoveries=runs.c.recoveries + bindparam("counted"),
                node=bindparam("owner"),
                claimed_at=bindparam("now"),
            )
        )
        fence = (runs.c.version, runs.c.epoch, runs.c.recoveries, runs.c.sequence, runs.c.due_at)
        self._find_fence_sql = sql.compile(select(*fence).where(_IS_RUN))
        self._mend_sequence_sql = sql.compile(update(runs).where(_IS_RUN).values(sequence=bindparam("sequence")))
        self._find_owner_sql = sql.compile(select(runs.c.node, runs.c.status).where(_IS_RUN, IS_UNFINISHED))
        self._list_owned_sql = sql.compile(select(runs.c.id).where(*_IS_OWNED))
        self._release_sql = sql.compile(release.where(_IS_RUN))
        self._release_all_sql = sql.compile(release)
        self._make_due_sql = sql.compile(update(runs).where(*_IS_OWNED, _IS_RUN).values(due_at=bindparam("at")))
        self._pause_sql = sql.compile(
            update(runs)
            .where(*_IS_OWNED, _IS_RUN)
            .values(
                status=literal_column("'paused'"),
                reason=bindparam("why"),
                cause=literal_column("NULL"),
                error_key=literal_column("NULL"),
            )
        )
        self._bring_forward_sql = sql.compile(
            update(runs).where(*_IS_UNOWNED).values(due_at=runs.c.due_at - bindparam("by"))
        )
        # An invalid due time is NULL, or greater than `LATEST` (SQLite sorts texts after numbers). Unless it is
        # mended, such a run is never due.
        self._mend_due_times_sql = sql.compile(
            update(runs)
            .where(IS_UNFINISHED, or_(runs.c.due_at.is_(None), runs.c.due_at > literal_column(str(LATEST))))
            .values(due_at=literal_column("0"))
        )

    def take_over(self, cursor: Cursor, run: str, at: int, *, count_recovery: bool) -> Takeover | None:
        cursor.execute(self._find_owner_sql, {"run": run})
        if (found := cursor.fetchone()) is None:
            return None
        owner, status = found
        row = {"run": run, "owner": self._node, "now": at, "counted": int(count_recovery)}
        cursor.execute(self.take_over_sql, row)
        cursor.execute(self._find_fence_sql, {"run": run})
        version, epoch, recoveries, sequence, due_at = cursor.fetchone()
        sequence = self._ensure_sequence(cursor, run, sequence)
        due_at = due_at if isinstance(due_at, int) else None
        return Takeover(run, version, epoch, recoveries, sequence, due_at, was_owned=owner is not None, status=status)

    def _ensure_sequence(self, cursor: Cursor, run: str, sequence: Any) -> int:
        """Return the number of a run's last entry. If the history is longer than the row says, the row is damaged; it
        is mended, because the next append is compared with it."""
        is_number = isinstance(sequence, int)
        known = int(sequence) if is_number else 0
        found = self._histories.find_last_append(cursor, run)
        try:
            last: int = found[0] + len(_count_appended(found[1])) - 1
        except (msgspec.MsgspecError, TypeError):  # reading the history will report it
            return known
        if is_number and last <= known:
            return known
        last = max(last, known)
        cursor.execute(self._mend_sequence_sql, {"run": run, "sequence": last})
        return last

    def release(self, cursor: Cursor, runs: Sequence[str], due_at: int | None) -> None:
        for run in runs:
            if due_at is not None:
                cursor.execute(self._make_due_sql, {"owner": self._node, "run": run, "at": due_at})
            cursor.execute(self._release_sql, {"owner": self._node, "run": run})

    def release_all(self, cursor: Cursor, kept: Collection[str], due: Collection[str]) -> None:
        for run in due:
            cursor.execute(self._make_due_sql, {"owner": self._node, "run": run, "at": 0})
        if not kept:
            cursor.execute(self._release_all_sql, {"owner": self._node})
            return
        cursor.execute(self._list_owned_sql, {"owner": self._node})
        self.release(cursor, [run for (run,) in cursor.fetchall() if run not in kept], None)

    def pause(self, cursor: Cursor, run: str, reason: str) -> None:
        cursor.execute(self._pause_sql, {"run": run, "owner": self._node, "why": reason})
        self._feed.note("runs", run)
        self._feed.note("waits")

    def bring_forward(self, cursor: Cursor, by: int) -> None:
        cursor.execute(self._bring_forward_sql, {"by": by})

    def mend_due_times(self, cursor: Cursor) -> None:
        cursor.execute(self._mend_due_times_sql, {})


# -- reads


def list_due(connection: Connection, before: int, limit: int, pipeline: str | None = None) -> list[str]:
    """Return unfinished runs without an owner that are due at or before `before` (ms), earliest first; with `pipeline`,
    only the runs of that pipeline."""
    query = select(runs.c.id).where(*_IS_UNOWNED, runs.c.due_at <= before)
    if pipeline is not None:
        query = query.where(runs.c.pipeline == pipeline)
    return list(connection.scalars(query.order_by(runs.c.due_at, runs.c.id).limit(limit)))


def list_due_pipelines(connection: Connection, before: int) -> list[str]:
    """Return the pipelines that have such runs."""
    return list(connection.scalars(_DUE_PIPELINES, {"before": before}))


def _select_due_pipelines() -> Select[Any]:
    """Skip from one pipeline to the next with one index lookup each, because thousands of runs of one pipeline may be
    due."""
    first = select(func.min(runs.c.pipeline).label("name")).where(*_IS_UNOWNED)
    names = first.cte("names", recursive=True)
    following = select(func.min(runs.c.pipeline)).where(*_IS_UNOWNED, runs.c.pipeline > names.c.name)
    names = names.union_all(select(following.scalar_subquery()).where(names.c.name.is_not(None)))
    earliest = select(func.min(runs.c.due_at)).where(*_IS_UNOWNED, runs.c.pipeline == names.c.name)
    return select(names.c.name).where(names.c.name.is_not(None), earliest.scalar_subquery() <= bindparam("before"))


_DUE_PIPELINES = _select_due_pipelines()
