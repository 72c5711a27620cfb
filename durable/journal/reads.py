"""What people and recovery read of the journal, beside the writer and never in its way.

Each read runs in a thread of a small pool. Lists go from the newest to the oldest, and `after` is the id of the last
row that was seen, so pages stay stable while new rows come.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, bindparam, func, select
from sqlalchemy.exc import DBAPIError

from durable.history.entries import AnyEntry
from durable.history.state import State
from durable.history.words import EndStatus, RunStatus
from durable.journal.errors import DataFolderUnusable, JournalBusy, JournalDamaged, RunUnreadable
from durable.journal.migrate import ensure_current
from durable.journal.scan import (
    LAST,
    NEXT_PAGE,
    PAGE,
    Scan,
    ensure_payload,
    read_append,
    run_rows,
    select_unfinished,
    unfinished_run,
)
from durable.journal.sqlite.database import SQLite
from durable.journal.tables import (
    api_keys,
    definitions,
    deliveries,
    events,
    inbox,
    payloads,
    runs,
    schedules,
    slots,
    tags,
)
from durable.journal.writes import unpack
from durable.units import ApiKey, DeliveryOutcome, Event, Message, Run, ScheduleProgress, StoredDelivery, UnfinishedRun
from durable.values import NULL

Read = TypeVar("Read")

log = logging.getLogger("waypost.journal")

THREADS = 4

SCANS = 2
"""Threads for scans of short histories; one more is for long ones, so that no short one waits for them."""

LONG = 2_000
"""Entries above which a history is long: to fold it takes some 20 ms."""

WAITING_SCANS = 200
"""Scans that wait for their thread at most; what is asked for beyond them is refused."""

_IS_UNOWNED = (runs.c.finished_at.is_(None), runs.c.node.is_(None))
_MESSAGES = select(inbox).where(inbox.c.run == bindparam("run")).order_by(inbox.c.id)


def _select_due_pipelines() -> Select[Any]:
    """From one pipeline to the next, with one look into the index for each: thousands of runs may be due of one."""
    first = select(func.min(runs.c.pipeline).label("name")).where(*_IS_UNOWNED)
    names = first.cte("names", recursive=True)
    following = select(func.min(runs.c.pipeline)).where(*_IS_UNOWNED, runs.c.pipeline > names.c.name)
    names = names.union_all(select(following.scalar_subquery()).where(names.c.name.is_not(None)))
    earliest = select(func.min(runs.c.due_at)).where(*_IS_UNOWNED, runs.c.pipeline == names.c.name)
    return select(names.c.name).where(names.c.name.is_not(None), earliest.scalar_subquery() <= bindparam("before"))


_DUE_PIPELINES = _select_due_pipelines()


class Readable(Protocol):
    """What differs between databases where they are read."""

    def readers(self) -> Engine: ...

    def check_integrity(self, connection: Connection, *, is_quick: bool = False) -> list[str]: ...

    def is_undecodable(self, error: BaseException) -> bool: ...

    def is_damage(self, error: BaseException) -> bool: ...


class Reads:
    """A journal to read; `close` ends it."""

    def __init__(self, database: Readable) -> None:
        self._readable = database
        self._engine = database.readers()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="journal-read")
        self._short_scans = ThreadPoolExecutor(SCANS, thread_name_prefix="journal-scan")
        self._long_scans = ThreadPoolExecutor(1, thread_name_prefix="journal-long-scan")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="journal-check")
        self._checking: Any = None
        self._waiting_scans = 0
        self.damage: str | None = None
        self.unreadable: set[str] = set()
        """Runs that a scan could not read."""

    async def close(self) -> None:
        if checking := self._checking:
            checking.interrupt()
        for threads in (self._threads, self._short_scans, self._long_scans, self._checks):
            await asyncio.to_thread(threads.shutdown, cancel_futures=threads is not self._threads)
        self._engine.dispose()

    async def scan(self, work: Callable[[Scan], Read], entries: int = 0) -> Read:
        """Do work whose length somebody else chose in a thread for such, which gives way to everything else; `entries`
        says how long a history it reads. Raises `JournalBusy` if too many wait for that already."""
        if self._waiting_scans >= WAITING_SCANS:
            raise JournalBusy(f"{self._waiting_scans} reads wait for their turn; try again in a moment")
        threads = self._long_scans if entries > LONG else self._short_scans
        self._waiting_scans += 1
        try:
            return await self._read(lambda connection: work(Scan(connection, self.unreadable.add)), threads)
        finally:
            self._waiting_scans -= 1

    async def load_state(self, run: str) -> State:
        """The fold of a run's whole history; that of nothing if there is no such run. Raises `RunUnreadable`."""
        found = await self.find_run(run)
        return await self.scan(lambda scan: scan.load_state(run), found.sequence) if found else State(run=run)

    # -- for people

    async def find_run(self, id: str) -> Run | None:
        found = await self._read(lambda connection: run_rows(connection, select(runs).where(runs.c.id == id)))
        return found[0] if found else None

    async def find_statuses(self, ids: Sequence[str]) -> dict[str, RunStatus]:
        """The statuses of these runs; those that there are not are absent."""
        query = select(runs.c.id, runs.c.status).where(runs.c.id.in_(ids))
        return dict(await self._all(query, lambda row: (row.id, row.status)))

    async def list_runs(
        self,
        *,
        pipeline: str | None = None,
        status: RunStatus | None = None,
        trigger: str | None = None,
        event: str | None = None,
        tag: str | None = None,
        since: str | None = None,
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[Run]:
        """Runs, the newest first: those whose ids are not less than `since`, and less than `before`."""
        wanted = {runs.c.pipeline: pipeline, runs.c.status: status, runs.c.trigger: trigger, runs.c.event: event}
        query = select(runs).where(*(column == value for column, value in wanted.items() if value is not None))
        if status is not None:  # said again in the terms of the partial indexes
            has_ended = status in get_args(EndStatus)
            query = query.where(runs.c.finished_at.is_not(None) if has_ended else runs.c.finished_at.is_(None))
        id: ColumnElement[str] = runs.c.id
        if tag is not None:
            id = tags.c.run
            query = query.join_from(tags, runs, tags.c.run == runs.c.id).where(tags.c.tag == tag)
        if since is not None:
            query = query.where(id >= since)
        for bound in (before, after):
            if bound is not None:
                query = query.where(id < bound)
        return await self._read(lambda connection: run_rows(connection, query.order_by(id.desc()).limit(limit)))

    async def read_history(self, run: str, after: int = 0, limit: int | None = None) -> list[tuple[int, AnyEntry]]:
        """A run's entries after number `after`, with their numbers, from 1; large values come without their bytes."""

        def read(connection: Connection) -> list[tuple[int, AnyEntry]]:
            return list(islice(Scan(connection).read_entries(run, after, min(limit or PAGE, PAGE)), limit))

        return await self._read(read)

    async def read_pages(self, run: str, until: int | None = None) -> AsyncIterator[list[AnyEntry]]:
        """A run's entries, up to number `until`, in pieces; between two of them everybody else gets a turn."""
        after, expected = 0, 1
        while page := await self._read(partial(_page, run, after, expected, until or LAST)):
            yield [entry for _, appended in page for entry in appended]
            if len(page) < PAGE:
                return
            after, last = page[-1]
            expected = after + len(last)

    async def find_event(self, id: str) -> Event | None:
        return await self._one(select(events).where(events.c.id == id), _event)

    async def list_deliveries(
        self,
        *,
        trigger: str | None = None,
        outcome: DeliveryOutcome | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[StoredDelivery]:
        """Deliveries, the newest first."""
        wanted = {deliveries.c.trigger: trigger, deliveries.c.outcome: outcome}
        query = select(deliveries).where(*(column == value for column, value in wanted.items() if value is not None))
        if after is not None:
            query = query.where(deliveries.c.id < after)
        return await self._all(query.order_by(deliveries.c.id.desc()).limit(limit), _delivery)

    async def list_schedules(self) -> list[ScheduleProgress]:
        """How far each schedule is dealt with."""
        return await self._all(select(schedules).order_by(schedules.c.id), _schedule)

    async def list_keys(self) -> list[ApiKey]:
        """Every key of the API that was ever made, the oldest first."""
        return await self._all(select(api_keys).order_by(api_keys.c.id), lambda row: ApiKey(**row._mapping))

    async def check_integrity(self, *, is_quick: bool = False) -> list[str]:
        """What a check of the whole database finds wrong; it reads everything. To close the journal ends it."""

        def check(connection: Connection) -> list[str]:
            self._checking = connection.connection.driver_connection
            try:
                return self._readable.check_integrity(connection, is_quick=is_quick)
            finally:
                self._checking = None

        return await self._read(check, self._checks)

    def report_damage(self, what: str) -> None:
        """Note what is wrong with the file, once; it stays so until the process ends."""
        if self.damage is None:
            self.damage = (
                f"the journal is damaged ({what}): stop the service, keep a copy of the data folder, and restore a "
                "backup; `waypost doctor` examines it"
            )
            log.error("%s", self.damage)

    # -- for advancing runs

    async def list_unfinished(self, limit: int, after: str | None = None) -> list[UnfinishedRun]:
        """Runs that have not ended, the oldest first."""
        return await self._all(select_unfinished(limit, after), unfinished_run)

    async def list_orphans(self, node: str, limit: int, after: str | None = None) -> list[UnfinishedRun]:
        """Those of them that an owner other than `node` did not let go of, the oldest first."""
        return await self._all(select_unfinished(limit, after).where(runs.c.node != node), unfinished_run)

    async def find_newest_start(self) -> int | None:
        """When the newest run began (ms); None if there is no run."""
        return await self._one(
            select(runs.c.created_at).order_by(runs.c.id.desc()).limit(1), lambda row: int(row.created_at)
        )

    async def list_due(self, before: int, limit: int, pipeline: str | None = None) -> list[str]:
        """Unfinished runs that nobody owns and that are due at or before `before` (ms), the earliest first; with a
        `pipeline`, those of it."""
        query = select(runs.c.id).where(*_IS_UNOWNED, runs.c.due_at <= before)
        if pipeline is not None:
            query = query.where(runs.c.pipeline == pipeline)
        return await self._all(query.order_by(runs.c.due_at, runs.c.id).limit(limit), lambda row: str(row.id))

    async def list_due_pipelines(self, before: int) -> list[str]:
        """The pipelines that have such runs."""
        return await self._read(lambda connection: list(connection.scalars(_DUE_PIPELINES, {"before": before})))

    async def list_messages(self, run: str | None = None) -> list[Message]:
        """What waits in a run's inbox, or in all, in the order in which it came."""
        if run is not None:
            return await self._read(partial(_messages, run))
        return await self._all(select(inbox).order_by(inbox.c.id), _message)

    async def list_message_kinds(self, run: str) -> list[str]:
        """What kinds of messages wait in a run's inbox."""
        query = select(inbox.c.kind).where(inbox.c.run == run).order_by(inbox.c.id)
        return await self._all(query, lambda row: str(row.kind))

    async def find_slot_key(self, run: str) -> str | None:
        """The key of the slot that a run holds or is queued for."""
        return await self._one(select(slots.c.key).where(slots.c.run == run), lambda row: str(row.key))

    async def list_runs_with_messages(self, limit: int) -> list[str]:
        """Runs with something in their inbox, those that wait the longest first."""
        query = select(inbox.c.run).group_by(inbox.c.run).order_by(func.min(inbox.c.id)).limit(limit)
        return await self._all(query, lambda row: str(row.run))

    async def load_payload(self, ref: str) -> bytes:
        """The bytes of a large value; raises `RunUnreadable` if the journal has lost them."""
        query = select(payloads.c.data).where(payloads.c.ref == ref)
        return await self._read(lambda connection: ensure_payload(ref, connection.scalar(query)))

    async def load_definition(self, version: str) -> bytes | None:
        query = select(definitions.c.data).where(definitions.c.version == version)
        return await self._one(query, lambda row: bytes(row.data))

    # -- how

    async def _all(self, query: Select[Any], convert: Callable[[Row[Any]], Read]) -> list[Read]:
        return await self._read(lambda connection: [convert(row) for row in connection.execute(query)])

    async def _one(self, query: Select[Any], convert: Callable[[Row[Any]], Read]) -> Read | None:
        found = await self._all(query, convert)
        return found[0] if found else None

    async def _read(self, read: Callable[[Connection], Read], threads: ThreadPoolExecutor | None = None) -> Read:
        def work() -> Read:
            try:
                with self._engine.connect() as connection:
                    return read(connection)
            except DBAPIError as error:
                if self._readable.is_undecodable(error.orig or error):
                    return self._read_leniently(read)
                if not self._readable.is_damage(error.orig or error):
                    raise
                self.report_damage(str(error.orig))
                raise JournalDamaged(str(self.damage)) from error

        return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)

    def _read_leniently(self, read: Callable[[Connection], Read]) -> Read:
        """Read texts that are not UTF-8 with a mark in place of each byte that is wrong."""
        with self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.text_factory = partial(str, encoding="utf-8", errors="replace")
            try:
                return read(connection)
            finally:
                driver.text_factory = str


async def open_reader(folder: Path) -> Reads:
    """A journal for a command that only reads: beside a running service or without one.

    Raises `DataFolderUnusable` if the folder holds no journal, or one of another version.
    """
    database = SQLite(folder)
    if not database.path.exists():
        raise DataFolderUnusable(
            f"there is no journal in {folder}: start the service once, or name its folder with --data"
        )
    reads = Reads(database)
    try:
        await reads._read(ensure_current)
    except BaseException:
        await reads.close()
        raise
    return reads


def _page(run: str, after: int, expected: int, until: int, connection: Connection) -> list[tuple[int, list[AnyEntry]]]:
    page: list[tuple[int, list[AnyEntry]]] = []
    for row in connection.execute(NEXT_PAGE, {"run": run, "after": after, "until": until, "appends": PAGE}).all():
        page.append((row.sequence, read_append(run, row, expected)))
        expected += len(page[-1][1])
    return page


def _messages(run: str, connection: Connection) -> list[Message]:
    return [_message(row) for row in connection.execute(_MESSAGES, {"run": run})]


_DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError, TypeError)
"""What decoding raises for a column that is not what was written."""


def _event(row: Row[Any]) -> Event:
    try:
        return Event(**{**row._mapping, "data": unpack(row.data)})
    except _DAMAGED as error:
        raise RunUnreadable("", f"the event {row.id} is damaged ({error})") from error


def _delivery(row: Row[Any]) -> StoredDelivery:
    try:
        headers = unpack(row.headers)
    except _DAMAGED:
        headers = NULL  # a list is worth more than the headers of one delivery
    return StoredDelivery(**{**row._mapping, "headers": headers})


def _schedule(row: Row[Any]) -> ScheduleProgress:
    try:
        waiting = msgspec.json.decode(row.waiting, type=tuple[int, ...])
    except _DAMAGED:
        log.error("the queued fires of schedule %s cannot be read and are skipped", row.id)
        waiting = ()
    return ScheduleProgress(**{**row._mapping, "waiting": waiting})


def _message(row: Row[Any]) -> Message:
    try:
        return Message(**{**row._mapping, "data": unpack(row.data)})
    except _DAMAGED as error:
        what = f"message {row.id} (`{row.kind}`) in its inbox is damaged ({error})"
        raise RunUnreadable(row.run, what) from error
