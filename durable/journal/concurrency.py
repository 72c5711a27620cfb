"""Slots of a pipeline's concurrency: who holds one, who is queued, and who gets what is free.

Counted from rows, in the transaction that changes them: a run has a row from its beginning to its end.
"""

from sqlalchemy import bindparam, delete, func, literal_column, select, update

from durable.journal.cursor import Cursor
from durable.journal.statements import Statements
from durable.journal.tables import inbox, slots
from durable.units import SlotOutcome, SlotRequest


class ConcurrencyLimits:
    """What the units do to slots."""

    def __init__(self, statements: Statements) -> None:
        sql = statements.compile
        of_key = slots.c.key == bindparam("key")
        of_run = slots.c.run == bindparam("of")
        is_held = slots.c.is_held.is_(literal_column("1"))
        queued = select(slots.c.run, slots.c.most).where(of_key, slots.c.is_held.is_(literal_column("0")))
        cancelled = select(inbox.c.run).where(inbox.c.kind == literal_column("'cancel'"))
        self._add_sql = sql(statements.insert(slots).on_conflict_do_nothing())
        self._leave = sql(delete(slots).where(of_run))
        self._hold = sql(update(slots).where(of_run).values(is_held=literal_column("1")))
        self._count = sql(select(func.count()).select_from(slots).where(of_key, is_held))
        self._first_queued = sql(queued.order_by(slots.c.run))
        self._contenders = sql(select(slots.c.run).where(of_key, slots.c.run.not_in(cancelled)).order_by(slots.c.run))

    def place(self, cursor: Cursor, run: str, wanted: SlotRequest) -> SlotOutcome:
        """Where a new run stands: it holds a slot, is queued, or is skipped; one that is held back asks later."""
        if wanted.is_held_back:
            return "queued"
        if self._count_held(cursor, wanted.key) < wanted.limit and not self._next(cursor, wanted.key):
            self._add(cursor, run, wanted, is_held=True)
            return "held"
        if wanted.overflow == "skip":
            return "skipped"
        self._add(cursor, run, wanted, is_held=False)
        return "queued"

    def evict_oldest(self, cursor: Cursor, wanted: SlotRequest) -> list[str]:
        """The oldest runs, so many that no more than the limit are left that nobody has cancelled; none where runs are
        queued or skipped."""
        if wanted.overflow != "cancel_oldest" or wanted.is_held_back:
            return []
        cursor.execute(self._contenders, {"key": wanted.key})
        left = [str(run) for (run,) in cursor.fetchall()]
        return left[: max(0, len(left) - wanted.limit)]

    def ask(self, cursor: Cursor, run: str, wanted: SlotRequest) -> list[str]:
        """Queue a run that was held back until now; returns who is granted a slot."""
        self._add(cursor, run, wanted, is_held=False)
        return self.grant(cursor, wanted.key)

    def free(self, cursor: Cursor, run: str, key: str) -> list[str]:
        """A run has ended; returns who is granted its slot."""
        cursor.execute(self._leave, {"of": run})
        return self.grant(cursor, key)

    def grant(self, cursor: Cursor, key: str) -> list[str]:
        """Give what is free to those who are queued, the oldest first."""
        granted: list[str] = []
        held = self._count_held(cursor, key)
        while (queued := self._next(cursor, key)) and held < queued[1]:
            cursor.execute(self._hold, {"of": queued[0]})
            granted.append(queued[0])
            held += 1
        return granted

    def _count_held(self, cursor: Cursor, key: str) -> int:
        cursor.execute(self._count, {"key": key})
        return int(cursor.fetchone()[0])

    def _next(self, cursor: Cursor, key: str) -> tuple[str, int] | None:
        """The run that is queued the longest, and how many may hold a slot."""
        cursor.execute(self._first_queued, {"key": key})
        found: tuple[str, int] | None = cursor.fetchone()
        return found

    def _add(self, cursor: Cursor, run: str, wanted: SlotRequest, *, is_held: bool) -> None:
        slot = {"run": run, "key": wanted.key, "most": wanted.limit, "is_held": is_held}
        cursor.execute(self._add_sql, slot)
