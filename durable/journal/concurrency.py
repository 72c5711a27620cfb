"""Concurrency limits: which runs hold a slot of their pipeline, which are queued for one, and which is next.

Slots are counted from their rows, in the transaction that changes them. A run has a row from its start to its end.
"""

from collections.abc import Mapping

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)

from durable.journal.dialect import SQL, Cursor
from durable.journal.inbox import InboxWrites
from durable.journal.runs import IS_HALTED
from durable.journal.tables import inbox, runs, slots
from durable.messages import CancelMessage, SlotMessage, encode_message
from durable.reports import DelayReport, QueueReport
from durable.units import QueuePlace, SlotOutcome, SlotRequest

DELAYED_LIMIT = 10_000
"""How many queued runs are looked at to count the delayed ones."""

LAST = "\U0010ffff"
"""Sorts after every character of a key."""

PLACES_LIMIT = 1_000
"""How many queued runs of a key are counted to find a run's place."""


class ConcurrencyLimits:
    """Reads and writes slots, for units."""

    def __init__(self, sql: SQL, inboxes: InboxWrites) -> None:
        self._inboxes = inboxes
        of_key = slots.c.key == bindparam("key")
        of_run = slots.c.run == bindparam("of")
        is_held = slots.c.is_held.is_(true())
        is_queued = slots.c.is_held.is_(false())
        is_cancelled = slots.c.run.in_(
            select(inbox.c.run).where(inbox.c.kind == literal_column(f"'{CancelMessage.kind}'"))
        )
        self._add_sql = sql.compile(sql.insert(slots).on_conflict_do_nothing())
        self._remove_sql = sql.compile(delete(slots).where(of_run))
        self._hold_sql = sql.compile(update(slots).where(of_run).values(is_held=true()))
        self._count_held_sql = sql.compile(select(func.count()).select_from(slots).where(of_key, is_held))
        self._find_next_sql = sql.compile(
            select(slots.c.run, slots.c.most).where(of_key, is_queued).order_by(slots.c.run)
        )
        self._list_sql = sql.compile(select(slots.c.run).where(of_key, ~is_cancelled).order_by(slots.c.run))

    def place(self, cursor: Cursor, run: str, request: SlotRequest) -> SlotOutcome:
        """Grant a new run a slot, queue it or skip it. A run that is held back is queued without a row, and requests a
        slot later."""
        if request.is_held_back:
            return "queued"
        if self._count_held(cursor, request.key) < request.limit and not self._find_next(cursor, request.key):
            self._add(cursor, run, request, is_held=True)
            return "granted"
        if request.overflow == "skip":
            return "skipped"
        self._add(cursor, run, request, is_held=False)
        return "queued"

    def queue(self, cursor: Cursor, run: str, request: SlotRequest, at: int) -> list[str]:
        """Queue a run that is no longer held back; returns the runs that got a message."""
        self._add(cursor, run, request, is_held=False)
        granted = self.grant(cursor, request.key)
        return [*self.evict_oldest(cursor, request, at), *self._notify(cursor, granted, at)]

    def release(self, cursor: Cursor, run: str, key: str, at: int) -> list[str]:
        """Release the slot of a run that has ended; returns the runs that got a message."""
        cursor.execute(self._remove_sql, {"of": run})
        return self._notify(cursor, self.grant(cursor, key), at)

    def evict_oldest(self, cursor: Cursor, request: SlotRequest, at: int) -> list[str]:
        """Cancel the oldest runs with the key, so that no more than the limit remain; with another overflow, cancel
        none. Returns the runs that got the message."""
        if request.overflow != "cancel_oldest" or request.is_held_back:
            return []
        cursor.execute(self._list_sql, {"key": request.key})
        runs = [str(run) for (run,) in cursor.fetchall()]
        evicted = runs[: max(0, len(runs) - request.limit)]
        message = encode_message(CancelMessage("a newer run took its place"))
        return [run for run in evicted if self._inboxes.post(cursor, run, *message, at)]

    def grant(self, cursor: Cursor, key: str) -> list[str]:
        """Grant the free slots to queued runs, oldest first; returns these runs."""
        granted: list[str] = []
        held = self._count_held(cursor, key)
        while (queued := self._find_next(cursor, key)) and held < queued[1]:
            cursor.execute(self._hold_sql, {"of": queued[0]})
            granted.append(queued[0])
            held += 1
        return granted

    def _notify(self, cursor: Cursor, granted: list[str], at: int) -> list[str]:
        for run in granted:
            self._inboxes.post(cursor, run, *encode_message(SlotMessage()), at)
        return granted

    def _count_held(self, cursor: Cursor, key: str) -> int:
        cursor.execute(self._count_held_sql, {"key": key})
        return int(cursor.fetchone()[0])

    def _find_next(self, cursor: Cursor, key: str) -> tuple[str, int] | None:
        """Return the run that has been queued the longest, and how many runs may hold a slot."""
        cursor.execute(self._find_next_sql, {"key": key})
        found: tuple[str, int] | None = cursor.fetchone()
        return found

    def _add(self, cursor: Cursor, run: str, request: SlotRequest, *, is_held: bool) -> None:
        row = {"run": run, "key": request.key, "most": request.limit, "is_held": is_held}
        cursor.execute(self._add_sql, row)


def find_slot_key(connection: Connection, run: str) -> str | None:
    """Return the key of the slot that a run holds or is queued for."""
    return connection.scalar(select(slots.c.key).where(slots.c.run == run))


def list_queues(connection: Connection, limit: int, pipeline: str | None = None) -> list[QueueReport]:
    """Return the keys of concurrency with the runs that hold or wait for a slot, the longest wait first; takes about
    0.3 s for 100,000 such runs."""
    is_held = slots.c.is_held.is_(true())
    held, waiting = func.sum(case((is_held, 1), else_=0)), func.sum(case((is_held, 0), else_=1))
    oldest, behind = func.min(case((~is_held, slots.c.run))), func.min(case((is_held, slots.c.run)))
    query = select(slots.c.key, held, func.max(slots.c.most), waiting, oldest, behind).group_by(slots.c.key)
    if pipeline is not None:  # a key is the pipeline, or the pipeline, a colon and what its expression gave
        query = query.where(or_(slots.c.key == pipeline, slots.c.key.between(f"{pipeline}:", f"{pipeline}:{LAST}")))
    query = query.order_by(oldest.is_(None), oldest, slots.c.key).limit(limit)
    return [QueueReport(*row) for row in connection.execute(query)]


def count_delayed(connection: Connection, now: int) -> DelayReport:
    """Count the queued runs that are due later than now (ms), among the oldest `DELAYED_LIMIT` that are queued."""
    queued = select(runs.c.id, runs.c.due_at).where(IS_HALTED, runs.c.status == literal_column("'queued'"))
    looked_at = queued.order_by(runs.c.id).limit(DELAYED_LIMIT).subquery()
    number = connection.scalar(select(func.count()).select_from(looked_at)) or 0
    has_slot = exists().where(slots.c.run == looked_at.c.id)
    delayed = select(func.count(), func.min(looked_at.c.due_at)).where(looked_at.c.due_at > now, ~has_slot)
    count, next_at = connection.execute(delayed).one()
    return DelayReport(count, number == DELAYED_LIMIT, next_at)


def find_places(connection: Connection, queued: Mapping[str, str]) -> dict[str, QueuePlace]:
    """Return the places of queued runs, given the key that each waits for."""
    found: dict[str, QueuePlace] = {}
    for key in dict.fromkeys(queued.values()):
        rows = connection.execute(
            select(slots.c.run, slots.c.most)
            .where(slots.c.key == key, slots.c.is_held.is_(false()))
            .order_by(slots.c.run)
            .limit(PLACES_LIMIT)
        ).all()
        held = select(slots.c.run).where(slots.c.key == key, slots.c.is_held.is_(true())).order_by(slots.c.run).limit(1)
        before, limit = connection.scalar(held), rows[0].most if rows else 0
        numbers = {row.run: number for number, row in enumerate(rows)}
        for run in (run for run, wanted in queued.items() if wanted == key):
            number = numbers.get(run)
            behind = rows[number - 1].run if number else before
            found[run] = QueuePlace(limit, behind, None if number is None else number + 1)
    return found
