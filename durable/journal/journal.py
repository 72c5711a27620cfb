"""The journal: the store of events, entries and runs, durable when it says so.

What changes it is a *unit*, queued at once by a plain method whose future is completed after the unit's commit; a
caller that goes away changes nothing. Await such a future through `asyncio.shield` where the waiter can be
cancelled. All times come in as wall-clock milliseconds.
"""

import asyncio
import contextlib
import logging
import shutil
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from durable.history.entries import AnyEntry
from durable.journal.cursor import Cursor
from durable.journal.errors import (
    DataFolderUnusable,
    JournalBroken,
    JournalBusy,
    JournalClosed,
    JournalDamaged,
    JournalError,
)
from durable.journal.migrate import migrate
from durable.journal.reads import Reads
from durable.journal.sqlite.database import SQLite
from durable.journal.sqlite.files import make_private
from durable.journal.sqlite.folder import LOCK_NAME, FolderLock, ensure_kept, explain_denied, flush, prepare
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

log = logging.getLogger("waypost.journal")

PROBE_BYTES = 64 * 1024
"""Bytes that are written to see whether a delivery could be: more than a usual one, with its event and run, takes."""

WATCH_SECONDS = 1.0


class Journal(Reads):
    """A node's journal; to be used from one event loop."""

    def __init__(self, database: SQLite, node: str, writer: Writer, lock: FolderLock, max_waiting: int) -> None:
        super().__init__(database)
        self._folder = database.path.parent
        self._writer = writer
        self._writes = Writes(database.statements(), node)
        self.node = node
        self._lock = lock
        self._max_waiting = max_waiting

    @classmethod
    async def open(
        cls, folder: Path, *, node: str, on_fatal: Callable[[BaseException], None], max_waiting: int = 20_000
    ) -> Self:
        """Open the journal of a data folder, bringing its tables up to date.

        `on_fatal` is called in the loop when writing failed for good: the process must end. With more than
        `max_waiting` units queued nothing new is accepted. Raises `DataFolderInUse` and `DataFolderUnusable`.
        """
        database = SQLite(folder)
        connection, lock = await asyncio.to_thread(_open, folder, database)
        writer = Writer(database, connection, on_fatal)
        return cls(database, node, writer, lock, max_waiting)

    async def close(self) -> None:
        """Commit everything that is queued, tidy the files and let the data folder go."""
        await super().close()
        await self._writer.close()
        self._lock.release(is_clean=not self._writer.is_broken)

    @property
    def waiting(self) -> int:
        """How many units are queued for their commit."""
        return self._writer.waiting

    def admit(self, admission: Admission) -> asyncio.Future[Admitted]:
        """Accept an event: the event, its delivery, its claims and its runs. Raises `JournalBusy`."""
        self._ensure_room()
        return self._writer.submit(self._writes.admit(admission))

    def add_delivery(self, delivery: Delivery) -> asyncio.Future[None]:
        """Keep a delivery that brought no event (filtered, rejected). Raises `JournalBusy`."""
        self._ensure_room()
        return self._writer.submit(self._writes.add_delivery(delivery))

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
        """Go on with a history that ends at entry `after`, as the owner of `epoch`; anybody else gets `Stale`.

        `taken` are the messages of the run's inbox that these entries answer; `side_effects` are written in the same
        commit. Returns the runs whose inbox has got a message by it. Progress clears a suspicion.
        """
        return self._writer.submit(
            self._writes.append(run, epoch, after, entries, view, taken, side_effects, is_progress=is_progress)
        )

    def take_over(self, run: str, at: int, *, count_recovery: bool) -> asyncio.Future[Takeover | None]:
        """Take an unfinished run over; whoever owned it can write no more. None if it has ended or never was.

        Its history is read afterwards (`pages`): that may take long, and nobody's commit waits for it.
        """
        return self._writer.submit(self._writes.take_over(run, at, count_recovery=count_recovery))

    def release(self, runs: Sequence[str], due_at: int | None = None) -> asyncio.Future[None]:
        """Release these unfinished runs of this node, so that `due` finds them: at their own time, or at this."""
        return self._writer.submit(self._writes.release(runs, due_at))

    def release_all(self, *, kept: Collection[str] = (), due: Collection[str] = ()) -> asyncio.Future[None]:
        """Release every unfinished run of this node except those `kept`; the runs in `due` are due at once."""
        return self._writer.submit(self._writes.release_all(kept, due))

    def bring_forward(self, by: int) -> asyncio.Future[None]:
        """Make every unfinished run without an owner due earlier by this many milliseconds."""
        return self._writer.submit(self._writes.bring_forward(by))

    def mend_due_times(self) -> asyncio.Future[None]:
        """Make unfinished runs due at once whose rows do not say when they are."""
        return self._writer.submit(self._writes.mend_due_times())

    def pause(self, run: str, reason: str) -> asyncio.Future[None]:
        """Show an unfinished run of this node as paused, though nothing is added to its history."""
        return self._writer.submit(self._writes.pause(run, reason))

    def post(self, run: str, kind: str, data: Value, at: int, wait: str | None = None) -> asyncio.Future[PostOutcome]:
        """Put a message into a run's inbox, if the run still goes on. Of what ends the `wait` at a path (an answer, its
        time, an event) only the first does."""
        return self._writer.submit(self._writes.post(run, kind, data, at, wait))

    def add_definition(self, version: str, pipeline: str, data: bytes, at: int) -> asyncio.Future[None]:
        """Keep a pipeline version; one that is kept already stays as it is."""
        return self._writer.submit(self._writes.add_definition(version, pipeline, data, at))

    def keep_schedule(self, schedule: ScheduleProgress) -> asyncio.Future[None]:
        """Note how far a schedule is dealt with, where no run is started."""
        return self._writer.submit(self._writes.keep_schedule(schedule))

    def forget_schedule(self, id: str) -> asyncio.Future[None]:
        """A schedule is there no more; should it come back, it begins anew."""
        return self._writer.submit(self._writes.forget_schedule(id))

    def add_key(self, key: ApiKey) -> asyncio.Future[None]:
        """Keep a key of the API."""
        return self._writer.submit(self._writes.add_key(key))

    def revoke_key(self, id: str, at: int) -> asyncio.Future[bool]:
        """Make a key of the API worthless; False if there is none of that id that is still worth something."""
        return self._writer.submit(self._writes.revoke_key(id, at))

    async def is_writable(self, room: int = PROBE_BYTES) -> bool:
        """Whether a delivery can be kept now: a usual one is written, and there is room on the disk for one of `room`
        bytes."""
        try:
            await asyncio.shield(self._writer.submit(self._writes.probe(PROBE_BYTES)))
            return await asyncio.to_thread(self._has_room, room)
        except (JournalError, OSError):
            return False

    def _has_room(self, room: int) -> bool:
        return shutil.disk_usage(self._folder).free >= room

    async def watch(self, every: float = WATCH_SECONDS) -> None:
        """Check every second whether the journal's files are still in place, even without writes, until it is
        closed."""
        while True:
            try:
                await asyncio.shield(self._writer.submit(_nothing))
            except (JournalClosed, JournalBroken):
                return
            except JournalError:
                pass  # the database is locked: the next check follows soon
            await asyncio.sleep(every)

    async def check_after_crash(self) -> None:
        """Look for damage in the whole file, if the process before did not close it; what is found stands in
        `damage`."""
        if self._lock.ended_cleanly or not self._lock.before:
            return
        with contextlib.suppress(JournalDamaged):  # noted already: the check itself met it
            if problems := await self.check_integrity(is_quick=True):
                self.report_damage("; ".join(problems[:3]))

    def _ensure_room(self) -> None:
        if self._writer.waiting >= self._max_waiting:
            raise JournalBusy(f"{self._writer.waiting} units wait for their commit; try again in a moment")


def _nothing(cursor: Cursor) -> None:
    """A unit that writes nothing: the writer looks after its files with each commit."""


def _recover(database: SQLite) -> None:
    """Bring in what a process left in the WAL that it did not close, and warn of what is gone."""
    if not database.wal.exists():
        log.warning(
            "%s is missing, although the previous process did not close the journal: the last events that it accepted "
            "may be gone",
            database.wal,
        )
    elif lost := database.recover():
        log.error(
            "%s is damaged: its last %d commits cannot be read, and events that were accepted in them may be gone; a "
            "copy of it is in %s",
            database.wal,
            lost,
            database.damaged_wal,
        )


def _open(folder: Path, database: SQLite) -> tuple[sqlite3.Connection, FolderLock]:
    try:
        prepare(folder)
        lock = FolderLock.take(folder)
        try:
            ensure_kept(folder, database.path, had_journal=lock.had_journal)
            if lock.had_journal and not lock.ended_cleanly:
                _recover(database)
            lock.hold(has_journal=lock.had_journal)
            make_private((*database.files, folder / LOCK_NAME))
            if migrate(database.migrations()):
                flush(folder)
            connection = database.connect()
            lock.hold(has_journal=True)
            return connection, lock
        except BaseException:
            lock.release(is_clean=False)
            raise
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        reason = getattr(error, "orig", error)  # the driver's own words, without the statement
        raise DataFolderUnusable(
            f"the data folder {folder} cannot be used: {reason}{explain_denied(folder)}; correct that, or choose "
            "another folder with --data"
        ) from error
