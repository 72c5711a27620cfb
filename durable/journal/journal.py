"""The journal: the store of events, runs and their histories, durable when it says so.

A *unit* is what one caller asked to commit: whole or absent. A method that changes the journal queues a unit at once
and returns a future, which is completed after the unit's commit; a caller that goes away changes nothing. Await such a
future through `asyncio.shield` where the waiter can be cancelled. All times come in as wall-clock milliseconds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from durable.history.entries import AnyEntry
from durable.journal.admission import AdmissionWrites
from durable.journal.append import AppendWrites
from durable.journal.dialect import Cursor, Database
from durable.journal.errors import JournalBroken, JournalBusy, JournalClosed, JournalDamaged, JournalError
from durable.journal.reads import Reads
from durable.journal.sqlite.database import SQLite
from durable.journal.writer import Writer
from durable.journal.writes import Writes
from durable.units import (
    Admission,
    Admitted,
    ApiKey,
    Delivery,
    PostOutcome,
    RunView,
    ScheduleProgress,
    SideEffects,
    Takeover,
)
from durable.values import Value

PROBE_BYTES = 64 * 1024
"""Bytes that are written to see whether a delivery could be: more than a usual one, with its event and run, takes."""

WATCH_SECONDS = 1.0


class Journal(Reads):
    """A node's journal; to be used from one event loop."""

    def __init__(self, database: Database, node: str, writer: Writer, max_waiting: int) -> None:
        super().__init__(database)
        self.node = node
        self._writer = writer
        self._max_waiting = max_waiting
        self._writes = Writes(database.sql(), node)
        self._admissions = AdmissionWrites(self._writes)
        self._appends = AppendWrites(self._writes)

    @classmethod
    async def open(
        cls, folder: Path, *, node: str, on_fatal: Callable[[BaseException], None], max_waiting: int = 20_000
    ) -> Self:
        """Open the journal of a data folder, bringing its tables up to date.

        `on_fatal` is called in the loop when writing failed for good: the process must end. With more than
        `max_waiting` units queued nothing new is accepted. Raises `DataFolderInUse` and `DataFolderUnusable`.
        """
        database = SQLite(folder)
        connection = await asyncio.to_thread(database.open)
        return cls(database, node, Writer(database, connection, on_fatal), max_waiting)

    async def close(self) -> None:
        """Commit everything that is queued, tidy the files and let the data folder go."""
        await super().close()
        await self._writer.close()
        self._database.release(is_clean=not self._writer.is_broken)

    @property
    def waiting(self) -> int:
        """How many units are queued for their commit."""
        return self._writer.waiting

    def admit(self, admission: Admission) -> asyncio.Future[Admitted]:
        """Accept an event: the event, its delivery, its dedupe keys and its runs. Raises `JournalBusy`; the future
        raises `TooManyRuns`."""
        self._ensure_room()
        return self._writer.submit(self._admissions.prepare(admission))

    def add_delivery(self, delivery: Delivery) -> asyncio.Future[None]:
        """Store a delivery that brought no event (filtered, rejected). Raises `JournalBusy`."""
        self._ensure_room()
        return self._writer.submit(self._writes.deliveries.prepare_add(delivery))

    def append(
        self,
        run: str,
        epoch: int,
        after: int,
        entries: Sequence[AnyEntry],
        view: RunView,
        taken: Sequence[int] = (),
        side_effects: SideEffects | None = None,
        *,
        is_progress: bool = True,
    ) -> asyncio.Future[tuple[str, ...]]:
        """Continue a history that ends at entry `after`, as the owner of `epoch`; anybody else gets `Stale`.

        `taken` are the messages of the run's inbox that these entries answer; `side_effects` are written in the same
        commit. Returns the runs that got a message. Progress clears a suspicion.
        """
        return self._writer.submit(
            self._appends.prepare(run, epoch, after, entries, view, taken, side_effects, is_progress=is_progress)
        )

    def take_over(self, run: str, at: int, *, count_recovery: bool) -> asyncio.Future[Takeover | None]:
        """Take an unfinished run over; its owner before can write no more. None if it has ended or does not exist.

        Its history is read afterwards (`read_pages`): that may take long, and no commit waits for it.
        """
        take_over = self._writes.ownership.take_over
        return self._writer.submit(partial(take_over, run=run, at=at, count_recovery=count_recovery))

    def release(self, runs: Sequence[str], due_at: int | None = None) -> asyncio.Future[None]:
        """Release these unfinished runs of this node, so that `list_due` finds them: at their own time, or at this."""
        return self._writer.submit(partial(self._writes.ownership.release, runs=runs, due_at=due_at))

    def release_all(self, *, kept: Collection[str] = (), due: Collection[str] = ()) -> asyncio.Future[None]:
        """Release every unfinished run of this node except those `kept`; the runs in `due` are due at once."""
        return self._writer.submit(partial(self._writes.ownership.release_all, kept=kept, due=due))

    def bring_forward(self, by: int) -> asyncio.Future[None]:
        """Make every unfinished run without an owner due earlier by this many milliseconds."""
        return self._writer.submit(partial(self._writes.ownership.bring_forward, by=by))

    def mend_due_times(self) -> asyncio.Future[None]:
        """Make unfinished runs due at once whose rows do not say when they are."""
        return self._writer.submit(self._writes.ownership.mend_due_times)

    def pause(self, run: str, reason: str) -> asyncio.Future[None]:
        """Show an unfinished run of this node as paused, though nothing is added to its history."""
        return self._writer.submit(partial(self._writes.ownership.pause, run=run, reason=reason))

    def post(self, run: str, kind: str, data: Value, at: int, wait: str | None = None) -> asyncio.Future[PostOutcome]:
        """Post a message into a run's inbox, if the run has not ended. Of several that end the `wait` at a path (an
        answer, its time, an event) only the first is posted."""
        post = self._writes.subscriptions.post
        return self._writer.submit(partial(post, run=run, kind=kind, data=data, at=at, wait=wait))

    def add_definition(self, version: str, pipeline: str, data: bytes, at: int) -> asyncio.Future[None]:
        """Store a pipeline version; one that is stored already stays as it is."""
        add = self._writes.definitions.add
        return self._writer.submit(partial(add, version=version, pipeline=pipeline, data=data, at=at))

    def keep_schedule(self, schedule: ScheduleProgress) -> asyncio.Future[None]:
        """Store how far a schedule is dealt with, where no run is started."""
        return self._writer.submit(partial(self._writes.schedules.keep, schedule=schedule))

    def forget_schedule(self, id: str) -> asyncio.Future[None]:
        """Forget a schedule that does not exist any more; should it come back, it begins anew."""
        return self._writer.submit(partial(self._writes.schedules.forget, id=id))

    def add_key(self, key: ApiKey) -> asyncio.Future[None]:
        """Store a key of the API."""
        return self._writer.submit(partial(self._writes.keys.add, key=key))

    def revoke_key(self, id: str, at: int) -> asyncio.Future[bool]:
        """Revoke a key of the API; False if there is none of that id that is still valid."""
        return self._writer.submit(partial(self._writes.keys.revoke, id=id, at=at))

    async def is_writable(self, room: int = PROBE_BYTES) -> bool:
        """Whether a delivery can be stored now: a usual one is written, and the disk has room for one of `room`
        bytes."""
        try:
            await asyncio.shield(self._writer.submit(partial(self._writes.meta.probe, size=PROBE_BYTES)))
            return await asyncio.to_thread(self._database.has_room, room)
        except (JournalError, OSError):
            return False

    async def watch(self, every: float = WATCH_SECONDS) -> None:
        """Check every second whether the journal's files are still in place, even without writes, until it is
        closed."""
        while True:
            try:
                await asyncio.shield(self._writer.submit(_write_nothing))
            except (JournalClosed, JournalBroken):
                return
            except JournalError:
                pass  # the database is locked: the next check follows soon
            await asyncio.sleep(every)

    async def check_after_crash(self) -> None:
        """Look for damage in the whole database if the process before did not close it; it is noted in `damage`."""
        if not self._database.was_left_open:
            return
        with contextlib.suppress(JournalDamaged):  # noted already: the check itself met it
            if problems := await self.check_integrity(is_quick=True):
                self.report_damage("; ".join(problems[:3]))

    def _ensure_room(self) -> None:
        if self._writer.waiting >= self._max_waiting:
            raise JournalBusy(f"{self._writer.waiting} units wait for their commit; try again in a moment")


def _write_nothing(cursor: Cursor) -> None:
    """A unit for `watch`: the writer checks its files with each commit."""
