"""Reads, for people and for recovery, which never block the writer.

Each read runs in a thread of a small pool. Lists are sorted from newest to oldest. `after` is the id of the last row of
the previous page, so that pages stay stable while rows are added.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, Unpack

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from durable.history.entries import AnyEntry
from durable.history.state import State
from durable.history.words import RunStatus
from durable.journal import (
    concurrency,
    definitions,
    deliveries,
    events,
    histories,
    inbox,
    keys,
    ownership,
    payloads,
    runs,
    schedules,
    sessions,
)
from durable.journal.dialect import Database
from durable.journal.errors import DataFolderUnusable, JournalBusy, JournalDamaged
from durable.journal.folds import Fold, Folds
from durable.journal.histories import PAGE
from durable.journal.migrate import ensure_current
from durable.journal.scan import Scan
from durable.journal.sqlite.database import SQLite
from durable.reports import Space
from durable.sessions import Session
from durable.units import ApiKey, Delivery, Event, Message, Run, ScheduleProgress, UnfinishedRun

Found = TypeVar("Found")
Given = ParamSpec("Given")

log = logging.getLogger("waypost.journal")

THREADS = 4

SCANS = 2
"""The number of threads for scans of short histories. Long ones have a thread of their own, so that short ones never
wait for them."""

LONG = 2_000
"""A history with more entries is long; it takes about 20 ms to replay."""

WAITING_SCANS = 200
"""The maximum number of waiting scans; further ones are refused."""


class Reads:
    """A journal for reading; `close` closes it. A method that only calls a noun's function is documented there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = database.readers()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="journal-read")
        self._short_scans = ThreadPoolExecutor(SCANS, thread_name_prefix="journal-scan")
        self._long_scans = ThreadPoolExecutor(1, thread_name_prefix="journal-long-scan")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="journal-check")
        self._waiting_scans = 0
        self._folds = Folds()
        self.damage: str | None = None
        self.unreadable: set[str] = set()
        """Runs that a scan could not read."""

    async def close(self) -> None:
        self._database.interrupt_check()
        for threads in (self._threads, self._short_scans, self._long_scans, self._checks):
            await asyncio.to_thread(threads.shutdown, cancel_futures=threads is not self._threads)
        self._engine.dispose()

    async def scan(self, work: Callable[[Scan], Found], entries: int = 0) -> Found:
        """Do work of unbounded length in a low-priority scan thread. `entries` is the length of the history that it
        reads. Raises `JournalBusy` if too many scans are waiting."""
        if self._waiting_scans >= WAITING_SCANS:
            raise JournalBusy(f"{self._waiting_scans} reads wait for their turn; try again in a moment")
        threads = self._long_scans if entries > LONG else self._short_scans
        self._waiting_scans += 1
        try:
            return await self._read_in(
                threads, lambda connection: work(Scan(connection, self.unreadable.add, self._folds))
            )
        finally:
            self._waiting_scans -= 1

    async def scan_fold(self, run: Run, work: Callable[[Scan, Fold], Found]) -> Found:
        """Do work with the fold of a run in a scan thread. Raises `JournalBusy` as `scan` does."""

        def open_fold(scan: Scan) -> Found:
            with scan.open_fold(run) as fold:
                return work(scan, fold)

        return await self.scan(open_fold, self._folds.count_missing(run))

    async def load_state(self, run: str) -> State:
        """Load a run's state; it is empty if there is no such run. Raises `RunUnreadable`."""
        found = await self.find_run(run)
        return await self.scan(lambda scan: scan.load_state(run), found.sequence) if found else State(run=run)

    # -- for people

    async def find_run(self, id: str) -> Run | None:
        return await self.read(runs.find_run, id)

    async def find_statuses(self, ids: Sequence[str]) -> dict[str, RunStatus]:
        return await self.read(runs.find_statuses, ids)

    async def list_runs(self, **wanted: Unpack[runs.RunFilter]) -> list[Run]:
        return await self.read(runs.list_runs, **wanted)

    async def read_history(self, run: str, after: int = 0, limit: int | None = None) -> list[tuple[int, AnyEntry]]:
        """Return a run's entries after number `after`, numbered from 1; large values are not loaded."""

        def read(connection: Connection) -> list[tuple[int, AnyEntry]]:
            return list(islice(Scan(connection).read_entries(run, after, min(limit or PAGE, PAGE)), limit))

        return await self.read(read)

    async def read_pages(self, run: str, until: int | None = None) -> AsyncIterator[list[AnyEntry]]:
        """Return a run's entries, up to number `until`, in pages; other reads can run between two pages."""
        after, expected = 0, 1
        while page := await self.read(histories.read_page, run, after, expected, until or histories.LAST):
            yield [entry for _, appended in page for entry in appended]
            if len(page) < PAGE:
                return
            after, last = page[-1]
            expected = after + len(last)

    async def find_event(self, id: str) -> Event | None:
        return await self.read(events.find_event, id)

    async def list_deliveries(self, **wanted: Unpack[deliveries.DeliveryFilter]) -> list[Delivery]:
        return await self.read(deliveries.list_deliveries, **wanted)

    async def list_schedules(self) -> list[ScheduleProgress]:
        return await self.read(schedules.list_schedules)

    async def list_keys(self) -> list[ApiKey]:
        return await self.read(keys.list_keys)

    async def list_open_sessions(self) -> list[Session]:
        return await self.read(sessions.list_open_sessions)

    async def check_integrity(self, *, is_quick: bool = False) -> list[str]:
        """Check the whole database and return the problems. Closing the journal interrupts it."""
        return await self._read_in(self._checks, partial(self._database.check_integrity, is_quick=is_quick))

    async def measure_space(self) -> Space:
        return await self.read(self._database.measure_space)

    def report_damage(self, what: str) -> None:
        """Record damage of the file, once; it is kept until the process ends."""
        if self.damage is None:
            self.damage = (
                f"the journal is damaged ({what}): stop the service, keep a copy of the data folder, and restore a "
                "backup; `waypost doctor` examines it"
            )
            log.error("%s", self.damage)

    # -- for advancing runs

    async def list_unfinished(self, limit: int, after: str | None = None) -> list[UnfinishedRun]:
        return await self.read(runs.list_unfinished, limit, after)

    async def list_orphans(self, node: str, limit: int, after: str | None = None) -> list[UnfinishedRun]:
        """Return unfinished runs that an owner other than `node` has not released, oldest first."""
        return await self.read(runs.list_unfinished, limit, after, not_of=node)

    async def find_newest_start(self) -> int | None:
        return await self.read(runs.find_newest_start)

    async def list_due(self, before: int, limit: int, pipeline: str | None = None) -> list[str]:
        return await self.read(ownership.list_due, before, limit, pipeline)

    async def list_due_pipelines(self, before: int) -> list[str]:
        return await self.read(ownership.list_due_pipelines, before)

    async def list_messages(self, run: str | None = None) -> list[Message]:
        return await self.read(inbox.list_messages, run)

    async def list_message_kinds(self, run: str) -> list[str]:
        return await self.read(inbox.list_message_kinds, run)

    async def list_runs_with_messages(self, limit: int) -> list[str]:
        return await self.read(inbox.list_runs_with_messages, limit)

    async def find_slot_key(self, run: str) -> str | None:
        return await self.read(concurrency.find_slot_key, run)

    async def load_payload(self, ref: str) -> bytes:
        return await self.read(payloads.load_payload, ref)

    async def load_definition(self, version: str) -> bytes | None:
        return await self.read(definitions.load_definition, version)

    # -- in threads

    async def read(
        self, function: Callable[Concatenate[Connection, Given], Found], *args: Given.args, **kwargs: Given.kwargs
    ) -> Found:
        """Call a function of a noun with a read-only connection; raises `JournalDamaged`."""
        return await self._read_in(self._threads, lambda connection: function(connection, *args, **kwargs))

    async def _read_in(self, threads: ThreadPoolExecutor, read: Callable[[Connection], Found]) -> Found:
        def work() -> Found:
            try:
                with self._engine.connect() as connection:
                    return read(connection)
            except DBAPIError as error:
                if self._database.is_undecodable(error.orig or error):
                    with self._engine.connect() as connection, self._database.decode_leniently(connection):
                        return read(connection)
                if not self._database.is_damage(error.orig or error):
                    raise
                self.report_damage(str(error.orig))
                raise JournalDamaged(str(self.damage)) from error

        return await asyncio.get_running_loop().run_in_executor(threads, work)


async def open_reader(folder: Path) -> Reads:
    """Open the journal for a command that only reads, whether or not a service is running.

    Raises `DataFolderUnusable` if the folder contains no journal, or one of another version.
    """
    database = SQLite(folder)
    if not database.path.exists():
        raise DataFolderUnusable(
            f"there is no journal in {folder}: start the service once, or name its folder with --data"
        )
    reads = Reads(database)
    try:
        await reads.read(ensure_current)
    except BaseException:
        await reads.close()
        raise
    return reads
