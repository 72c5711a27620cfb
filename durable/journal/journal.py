"""The journal: the durable store of events, runs and their histories.

A *unit* is what a single call commits, atomically. A method that changes the journal queues a unit immediately and
returns a future, which completes after the commit; the unit is committed even if the caller is cancelled. Await such a
future through `asyncio.shield` where the waiter can be cancelled. All times are wall-clock milliseconds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from durable.audit import AuditRecord
from durable.bulks import Bulk, BulkItem, BulkStatus
from durable.history.entries import AnyEntry
from durable.journal.admission import AdmissionWrites
from durable.journal.append import AppendWrites
from durable.journal.dialect import Cursor, Database
from durable.journal.errors import JournalBroken, JournalBusy, JournalClosed, JournalDamaged, JournalError
from durable.journal.feed import Feed
from durable.journal.reads import Reads
from durable.journal.retention import Removable
from durable.journal.sqlite.database import SQLite
from durable.journal.trace_exports import TraceExport
from durable.journal.writer import Writer
from durable.journal.writes import Writes
from durable.messages import RetryMessage
from durable.reports import UnknownPath
from durable.sessions import Session
from durable.units import (
    Admission,
    Admitted,
    ApiKey,
    DedupeKey,
    Delivery,
    PostOutcome,
    RunView,
    ScheduleProgress,
    SealedKind,
    SealedValue,
    SideEffects,
    Takeover,
)
from durable.values import Value

PROBE_BYTES = 64 * 1024
"""The size of the probe that tests whether deliveries can be stored: more than a usual one with its event and run."""

WATCH_SECONDS = 1.0


class Journal(Reads):
    """The journal of a node, used from a single event loop."""

    def __init__(self, database: Database, node: str, writer: Writer, feed: Feed, max_waiting: int) -> None:
        super().__init__(database)
        self.node = node
        self.feed = feed
        self._writer = writer
        self._max_waiting = max_waiting
        self._writes = Writes(database.sql(), node, feed)
        self._admissions = AdmissionWrites(self._writes)
        self._appends = AppendWrites(self._writes)

    @classmethod
    async def open(
        cls, folder: Path, *, node: str, on_fatal: Callable[[BaseException], None], max_waiting: int = 20_000
    ) -> Self:
        """Open the journal of a data folder, and upgrade its tables.

        `on_fatal` is called in the event loop when writing has failed permanently: the process must end. With more than
        `max_waiting` units queued, new units are refused. Raises `DataFolderInUse` and `DataFolderUnusable`.
        """
        database = SQLite(folder)
        connection = await asyncio.to_thread(database.open)
        feed = Feed(node)
        return cls(database, node, Writer(database, connection, on_fatal, feed), feed, max_waiting)

    async def close(self) -> None:
        """Commit everything that is queued, clean up the files and release the data folder."""
        await super().close()
        await self._writer.close()
        self._database.release(is_clean=not self._writer.is_broken)

    @property
    def waiting(self) -> int:
        """The number of queued units."""
        return self._writer.waiting

    def admit(self, admission: Admission) -> asyncio.Future[Admitted]:
        """Commit an event with its delivery, its dedupe keys and its runs. Raises `JournalBusy`; the future raises
        `TooManyRuns`."""
        self._ensure_room()
        return self._writer.submit(self._admissions.prepare(admission))

    async def admit_large(self, admission: Admission) -> asyncio.Future[Admitted]:
        """Like `admit`, for a run that begins with many entries: encoding 40,000 of them takes 50 ms, so that is done
        in a thread. Returns when the commit is requested."""
        self._ensure_room()
        return self._writer.submit(await asyncio.to_thread(self._admissions.prepare, admission))

    def add_delivery(self, delivery: Delivery) -> asyncio.Future[None]:
        """Store a delivery without an event (filtered, rejected). Raises `JournalBusy`."""
        self._ensure_room()
        return self._writer.submit(self._writes.deliveries.prepare_add(delivery))

    def drop_requests(self, deliveries: Sequence[str]) -> asyncio.Future[None]:
        """Remove the requests of deliveries, which remain in lists without them."""
        return self._writer.submit(partial(self._writes.deliveries.drop_requests, ids=deliveries))

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
        """Append entries to a history that ends with entry number `after`, as the owner with this `epoch`. Raises
        `Stale` for any other caller.

        `taken` are the messages of the run's inbox that these entries process; `side_effects` are written in the same
        commit. Returns the runs that got a message. Progress resets the count of recoveries.
        """
        return self._writer.submit(
            self._appends.prepare(run, epoch, after, entries, view, taken, side_effects, is_progress=is_progress)
        )

    def take_over(self, run: str, at: int, *, count_recovery: bool) -> asyncio.Future[Takeover | None]:
        """Take over an unfinished run, so that its previous owner can write no more. None if it has ended or does not
        exist.

        The caller reads its history afterwards (`read_pages`), which may take long; commits do not wait for it.
        """
        take_over = self._writes.ownership.take_over
        return self._writer.submit(partial(take_over, run=run, at=at, count_recovery=count_recovery))

    def release(self, runs: Sequence[str], due_at: int | None = None) -> asyncio.Future[None]:
        """Release unfinished runs of this node, so that `list_due` returns them at their own due time, or at
        `due_at`."""
        return self._writer.submit(partial(self._writes.ownership.release, runs=runs, due_at=due_at))

    def release_all(self, *, kept: Collection[str] = (), due: Collection[str] = ()) -> asyncio.Future[None]:
        """Release every unfinished run of this node except those `kept`; the runs in `due` are due at once."""
        return self._writer.submit(partial(self._writes.ownership.release_all, kept=kept, due=due))

    def bring_forward(self, by: int) -> asyncio.Future[None]:
        """Make every unfinished run without an owner due this many milliseconds earlier."""
        return self._writer.submit(partial(self._writes.ownership.bring_forward, by=by))

    def mend_due_times(self) -> asyncio.Future[None]:
        """Make unfinished runs due at once if their rows have no valid due time."""
        return self._writer.submit(self._writes.ownership.mend_due_times)

    def pause(self, run: str, reason: str) -> asyncio.Future[None]:
        """Show an unfinished run of this node as paused, without changing its history."""
        return self._writer.submit(partial(self._writes.ownership.pause, run=run, reason=reason))

    def post(
        self, run: str, kind: str, data: Value, at: int, wait: str | None = None, once: DedupeKey | None = None
    ) -> asyncio.Future[PostOutcome]:
        """Post a message to a run's inbox, if the run has not ended. If several messages end the `wait` at a path (an
        answer, its timer, an event), only the first is posted; and only the first with the key `once`."""
        post = self._writes.subscriptions.post
        return self._writer.submit(partial(post, run=run, kind=kind, data=data, at=at, wait=wait, once=once))

    def reopen(
        self, run: str, after: int, message: RetryMessage, at: int, once: DedupeKey | None = None
    ) -> asyncio.Future[bool]:
        """Reopen a failed run whose history ends with entry number `after`, so that it can be taken over and continues;
        False if it was reopened or removed in the meantime. The key `once` is taken in the same commit."""
        reopen = self._writes.reopening.reopen
        return self._writer.submit(partial(reopen, run=run, after=after, message=message, at=at, once=once))

    def add_definition(self, version: str, pipeline: str, data: bytes, at: int) -> asyncio.Future[None]:
        """Store a pipeline version, unless it is already stored."""
        add = self._writes.definitions.add
        return self._writer.submit(partial(add, version=version, pipeline=pipeline, data=data, at=at))

    def keep_schedule(self, schedule: ScheduleProgress) -> asyncio.Future[None]:
        """Store the progress of a schedule without starting a run."""
        return self._writer.submit(partial(self._writes.schedules.keep, schedule=schedule))

    def forget_schedule(self, id: str) -> asyncio.Future[None]:
        """Delete the progress of a schedule that no longer exists. If it is added again, it starts afresh."""
        return self._writer.submit(partial(self._writes.schedules.forget, id=id))

    def keep_unknown_paths(self, paths: Sequence[UnknownPath]) -> asyncio.Future[None]:
        """Store the paths that were asked for and that no webhook serves, instead of the stored ones."""
        return self._writer.submit(partial(self._writes.unknown_paths.replace, paths=paths))

    def add_key(self, key: ApiKey) -> asyncio.Future[None]:
        """Store an API key."""
        return self._writer.submit(partial(self._writes.keys.add, key=key))

    def revoke_key(self, id: str, at: int) -> asyncio.Future[bool]:
        """Revoke an API key, and end its sessions; False if there is no valid key with this id."""
        return self._writer.submit(partial(self._writes.keys.revoke, id=id, at=at))

    def keep_key_use(self, id: str, at: int) -> asyncio.Future[None]:
        """Record the last use of an API key."""
        return self._writer.submit(partial(self._writes.keys.keep_use, id=id, at=at))

    def add_session(self, session: Session, before: int) -> asyncio.Future[None]:
        """Store a session, and remove those that ended or expired before a time (ms)."""
        return self._writer.submit(partial(self._writes.sessions.add, session=session, before=before))

    def keep_session_seen(self, id: str, at: int) -> asyncio.Future[None]:
        """Record the last request of a session."""
        return self._writer.submit(partial(self._writes.sessions.keep_seen, id=id, at=at))

    def end_session(self, id: str, at: int) -> asyncio.Future[None]:
        """End a session, unless it has ended."""
        return self._writer.submit(partial(self._writes.sessions.end, id=id, at=at))

    def add_audit_record(self, record: AuditRecord) -> asyncio.Future[None]:
        """Store a row of the audit log. Raises `JournalBusy`."""
        self._ensure_room()
        return self._writer.submit(partial(self._writes.audit.add, record=record))

    def end_audit_record(self, record: AuditRecord) -> asyncio.Future[None]:
        """Record the result of an action, and what it was done to."""
        return self._writer.submit(partial(self._writes.audit.end, record=record))

    def put_sealed_value(self, value: SealedValue, before: int) -> asyncio.Future[bool]:
        """Store an encrypted value if the stored one has the generation `before`, or, if that is 0, if there is none;
        else the result is False."""
        return self._writer.submit(partial(self._writes.sealed_values.put, value=value, before=before))

    def reseal_value(self, value: SealedValue, old_key: str) -> asyncio.Future[bool]:
        """Store a value that was encrypted anew, unless it was changed or removed: then the result is False."""
        return self._writer.submit(partial(self._writes.sealed_values.reseal, value=value, old_key=old_key))

    def remove_sealed_value(self, kind: SealedKind, name: str) -> asyncio.Future[bool]:
        """Remove an encrypted value; False if there is none."""
        return self._writer.submit(partial(self._writes.sealed_values.remove, kind=kind, name=name))

    def list_values_of_other_keys(self, key: str) -> asyncio.Future[list[SealedValue]]:
        """The values that are encrypted with another key than this one, after every write that was requested
        before."""
        return self._writer.submit(partial(self._writes.sealed_values.list_other_keys, key=key))

    def remove(self, noun: Removable, rows: Sequence[Any], before: int) -> asyncio.Future[int]:
        """Remove those of the rows that are still old (`RetentionWrites.remove`); returns their number."""
        return self._writer.submit(partial(self._writes.retention.remove, noun=noun, rows=rows, before=before))

    def shrink(self, pages: int) -> asyncio.Future[int]:
        """Give up to this many free pages of the database's file back to the file system; returns their number."""
        return self._writer.submit(partial(self._database.shrink, pages=pages))

    def begin_noting_ends(self) -> None:
        """Note each run that ends from now on, so that its trace is exported."""
        self._writes.trace_exports.is_on = True

    def keep_trace_exports(self, exports: Sequence[TraceExport]) -> asyncio.Future[None]:
        """Store how far the traces of runs were exported."""
        return self._writer.submit(partial(self._writes.trace_exports.keep, exports=exports))

    def keep_note(self, name: str, value: str) -> asyncio.Future[None]:
        """Store metadata of the journal under a name, over what was there."""
        return self._writer.submit(partial(self._writes.meta.keep, name=name, value=value))

    def add_bulk(self, bulk: Bulk) -> asyncio.Future[None]:
        """Store a new bulk."""
        return self._writer.submit(partial(self._writes.bulks.add, bulk=bulk))

    def add_bulk_items(self, bulk: str, items: Sequence[str]) -> asyncio.Future[None]:
        """Record the next items of a bulk, before anything is done with them; there is at least one."""
        return self._writer.submit(partial(self._writes.bulks.add_items, bulk=bulk, items=items))

    def keep_bulk_outcomes(self, bulk: str, items: Sequence[BulkItem]) -> asyncio.Future[None]:
        """Record what became of a bulk's pending items."""
        return self._writer.submit(partial(self._writes.bulks.keep_outcomes, bulk=bulk, items=items))

    def change_bulk_status(
        self, bulk: str, before: BulkStatus, status: BulkStatus, at: int | None = None, by: str | None = None
    ) -> asyncio.Future[bool]:
        """Change a bulk's status, unless it is not `before` any more: then the result is False. `at` (ms) is when it
        ended, `by` who stopped it."""
        change = self._writes.bulks.change_status
        return self._writer.submit(partial(change, bulk=bulk, before=before, status=status, at=at, by=by))

    def resume_bulk(self, bulk: str, rate: int | None) -> asyncio.Future[bool]:
        """Set a stopped bulk to running, with another rate if one is given; False if it is not stopped."""
        return self._writer.submit(partial(self._writes.bulks.resume, bulk=bulk, rate=rate))

    async def is_writable(self, room: int = PROBE_BYTES) -> bool:
        """Whether deliveries can be stored: write a probe of a usual size, and check that the disk has `room` bytes."""
        try:
            await asyncio.shield(self._writer.submit(partial(self._writes.meta.probe, size=PROBE_BYTES)))
            return await asyncio.to_thread(self._database.has_room, room)
        except (JournalError, OSError):
            return False

    async def watch(self, every: float = WATCH_SECONDS) -> None:
        """Check every second whether the journal's files are still in place, even without writes, until the journal is
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
        """Check the whole database if the previous process did not close it; record the findings in `damage`."""
        if not self._database.was_left_open:
            return
        with contextlib.suppress(JournalDamaged):  # the check has already recorded it
            if problems := await self.check_integrity(is_quick=True):
                self.report_damage("; ".join(problems[:3]))

    def _ensure_room(self) -> None:
        if self._writer.waiting >= self._max_waiting:
            raise JournalBusy(f"{self._writer.waiting} units wait for their commit; try again in a moment")


def _write_nothing(cursor: Cursor) -> None:
    """A unit for `watch`: the writer checks its files at each commit."""
