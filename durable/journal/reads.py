"""What people and recovery read of the journal, beside the writer and never in its way.

Each read runs in a thread of a small pool. Lists go from the newest to the oldest, and `after` is the id of the last
row that was seen, so pages stay stable while new rows come.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Row, Select, select

from durable.history import AnyEntry, RunStatus, decode_entries
from durable.journal.migrate import ensure_current
from durable.journal.sqlite import SQLite
from durable.journal.tables import definitions, deliveries, entries, events, inbox, payloads, runs
from durable.journal.units import (
    DataFolderUnfit,
    DeliveryOutcome,
    DeliveryRow,
    Event,
    Message,
    RunRow,
    Unfinished,
)
from durable.journal.writes import unpack

Read = TypeVar("Read")

THREADS = 4


class Readable(Protocol):
    """What differs between databases where they are read."""

    def readers(self) -> Engine: ...

    def problems(self, connection: Connection) -> list[str]: ...


class Reads:
    """A journal to read; `close` ends it."""

    def __init__(self, database: Readable) -> None:
        self._readable = database
        self._engine = database.readers()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="journal-read")

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    # -- for people

    async def run(self, id: str) -> RunRow | None:
        return await self._one(select(runs).where(runs.c.id == id), _run_row)

    async def runs(
        self,
        *,
        pipeline: str | None = None,
        status: RunStatus | None = None,
        trigger: str | None = None,
        event: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        """Runs, the newest first."""
        wanted = {runs.c.pipeline: pipeline, runs.c.status: status, runs.c.trigger: trigger, runs.c.event: event}
        query = select(runs).where(*(column == value for column, value in wanted.items() if value is not None))
        if after is not None:
            query = query.where(runs.c.id < after)
        return await self._all(query.order_by(runs.c.id.desc()).limit(limit), _run_row)

    async def history(self, run: str) -> list[tuple[int, AnyEntry]]:
        """A run's entries with their numbers, from 1; large values come without their bytes."""
        query = select(entries.c.entries).where(entries.c.run == run).order_by(entries.c.sequence)
        appends = await self._all(query, lambda row: decode_entries(row.entries))
        return list(enumerate((entry for append in appends for entry in append), start=1))

    async def event(self, id: str) -> Event | None:
        return await self._one(select(events).where(events.c.id == id), _event)

    async def deliveries(
        self,
        *,
        trigger: str | None = None,
        outcome: DeliveryOutcome | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> list[DeliveryRow]:
        """Deliveries, the newest first."""
        wanted = {deliveries.c.trigger: trigger, deliveries.c.outcome: outcome}
        query = select(deliveries).where(*(column == value for column, value in wanted.items() if value is not None))
        if after is not None:
            query = query.where(deliveries.c.id < after)
        return await self._all(query.order_by(deliveries.c.id.desc()).limit(limit), _delivery)

    async def integrity(self) -> list[str]:
        """What a check of the whole database finds wrong; it reads everything."""
        return await self._read(self._readable.problems)

    # -- for advancing runs

    async def unfinished(self, limit: int, after: str | None = None) -> list[Unfinished]:
        """Runs that have not ended, the oldest first."""
        return await self._all(_unfinished(limit, after), _unfinished_run)

    async def orphans(self, node: str, limit: int, after: str | None = None) -> list[Unfinished]:
        """Those of them that an owner other than `node` did not let go of, the oldest first."""
        return await self._all(_unfinished(limit, after).where(runs.c.node != node), _unfinished_run)

    async def due(self, before: int, limit: int) -> list[str]:
        """Unfinished runs that nobody owns and that are due at or before `before` (ms), the earliest first."""
        query = select(runs.c.id).where(runs.c.finished_at.is_(None), runs.c.node.is_(None), runs.c.due_at <= before)
        return await self._all(query.order_by(runs.c.due_at).limit(limit), lambda row: str(row.id))

    async def messages(self, run: str | None = None) -> list[Message]:
        """What waits in a run's inbox, or in all, in the order in which it came."""
        query = select(inbox) if run is None else select(inbox).where(inbox.c.run == run)
        return await self._all(query.order_by(inbox.c.id), _message)

    async def payload(self, ref: str) -> bytes:
        """The bytes of a large value; raises `LookupError` if the journal has none of that name."""
        found = await self._one(select(payloads.c.data).where(payloads.c.ref == ref), lambda row: bytes(row.data))
        if found is None:
            raise LookupError(f"the journal holds no payload {ref}")
        return found

    async def definition(self, version: str) -> bytes | None:
        query = select(definitions.c.data).where(definitions.c.version == version)
        return await self._one(query, lambda row: bytes(row.data))

    # -- how

    async def _all(self, query: Select[Any], convert: Callable[[Row[Any]], Read]) -> list[Read]:
        return await self._read(lambda connection: [convert(row) for row in connection.execute(query)])

    async def _one(self, query: Select[Any], convert: Callable[[Row[Any]], Read]) -> Read | None:
        found = await self._all(query, convert)
        return found[0] if found else None

    async def _read(self, read: Callable[[Connection], Read]) -> Read:
        def work() -> Read:
            with self._engine.connect() as connection:
                return read(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


async def open_reader(folder: Path) -> Reads:
    """A journal for a command that only reads: beside a running service or without one.

    Raises `DataFolderUnfit` if the folder holds no journal, or one of another version.
    """
    database = SQLite(folder)
    if not database.path.exists():
        raise DataFolderUnfit(
            f"there is no journal in {folder}: start the service once, or name its folder with --data"
        )
    reads = Reads(database)
    try:
        await reads._read(ensure_current)
    except BaseException:
        await reads.close()
        raise
    return reads


def _unfinished(limit: int, after: str | None) -> Select[Any]:
    query = select(runs.c.id, runs.c.due_at, runs.c.recoveries, runs.c.node).where(runs.c.finished_at.is_(None))
    if after is not None:
        query = query.where(runs.c.id > after)
    return query.order_by(runs.c.id).limit(limit)


def _unfinished_run(row: Row[Any]) -> Unfinished:
    return Unfinished(row.id, row.due_at, row.recoveries, was_busy=row.node is not None)


def _run_row(row: Row[Any]) -> RunRow:
    return RunRow(**row._mapping)


def _event(row: Row[Any]) -> Event:
    return Event(**{**row._mapping, "data": unpack(row.data)})


def _delivery(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(**{**row._mapping, "headers": unpack(row.headers)})


def _message(row: Row[Any]) -> Message:
    return Message(**{**row._mapping, "data": unpack(row.data)})
