"""What people and recovery read of the journal, beside the writer and never in its way.

Each read runs in a thread of a small pool. Lists go from the newest to the oldest, and `after` is the id of the last
row that was seen, so pages stay stable while new rows come.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, bindparam, func, select

from durable.history import AnyEntry, EndStatus, RunStatus, decode_entries
from durable.journal.migrate import ensure_current
from durable.journal.sqlite import SQLite
from durable.journal.tables import (
    api_keys,
    definitions,
    deliveries,
    entries,
    events,
    inbox,
    payloads,
    runs,
    schedules,
    tags,
)
from durable.journal.units import (
    ApiKey,
    DataFolderUnfit,
    DeliveryOutcome,
    DeliveryRow,
    Event,
    Message,
    RunRow,
    ScheduleRow,
    Unfinished,
)
from durable.journal.writes import unpack

Read = TypeVar("Read")

THREADS = 4

PAGE = 256
"""Appends that are read and decoded in one piece: it takes about a millisecond, in which nobody else is at work."""

# Made once, as every takeover asks for these: to make them anew costs more than to execute them.
_LAST = 2**62
_NEXT_PAGE = (
    select(entries.c.sequence, entries.c.entries)
    .where(entries.c.run == bindparam("run"))
    .where(entries.c.sequence > bindparam("after"), entries.c.sequence <= bindparam("until"))
    .order_by(entries.c.sequence)
    .limit(PAGE)
)
_MESSAGES = select(inbox).where(inbox.c.run == bindparam("run")).order_by(inbox.c.id)


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
        found = await self._read(lambda connection: _run_rows(connection, select(runs).where(runs.c.id == id)))
        return found[0] if found else None

    async def statuses(self, ids: Sequence[str]) -> dict[str, RunStatus]:
        """The statuses of these runs; those that there are not are absent."""
        query = select(runs.c.id, runs.c.status).where(runs.c.id.in_(ids))
        return dict(await self._all(query, lambda row: (row.id, row.status)))

    async def runs(
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
    ) -> list[RunRow]:
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
        return await self._read(lambda connection: _run_rows(connection, query.order_by(id.desc()).limit(limit)))

    async def history(self, run: str, after: int = 0, limit: int | None = None) -> list[tuple[int, AnyEntry]]:
        """A run's entries after number `after`, with their numbers, from 1; large values come without their bytes."""
        first = select(func.max(entries.c.sequence)).where(entries.c.run == run, entries.c.sequence <= after + 1)
        query = (
            select(entries.c.sequence, entries.c.entries)
            .where(entries.c.run == run, entries.c.sequence >= first.scalar_subquery())
            .order_by(entries.c.sequence)
            .limit(limit)
        )
        appends = await self._all(query, lambda row: enumerate(decode_entries(row.entries), row.sequence))
        return [each for append in appends for each in append if each[0] > after][:limit]

    async def pages(self, run: str, until: int | None = None) -> AsyncIterator[list[AnyEntry]]:
        """A run's entries, up to number `until`, in pieces; between two of them everybody else gets a turn."""
        after = 0
        while page := await self._read(partial(_page, {"run": run, "after": after, "until": until or _LAST})):
            yield [entry for _, appended in page for entry in appended]
            if len(page) < PAGE:
                return
            after = page[-1][0]

    async def histories(self, ids: Sequence[str]) -> dict[str, list[AnyEntry]]:
        """The whole histories of these runs; those that there are not are absent."""
        query = select(entries.c.run, entries.c.entries).where(entries.c.run.in_(ids))
        found: dict[str, list[AnyEntry]] = {}
        by_run = query.order_by(entries.c.run, entries.c.sequence)
        for run, some in await self._all(by_run, lambda row: (row.run, decode_entries(row.entries))):
            found.setdefault(run, []).extend(some)
        return found

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

    async def schedules(self) -> list[ScheduleRow]:
        """How far each schedule is dealt with."""
        return await self._all(select(schedules).order_by(schedules.c.id), _schedule)

    async def keys(self) -> list[ApiKey]:
        """Every key of the API that was ever made, the oldest first."""
        return await self._all(select(api_keys).order_by(api_keys.c.id), lambda row: ApiKey(**row._mapping))

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
        if run is not None:
            return await self._read(partial(_messages, run))
        return await self._all(select(inbox).order_by(inbox.c.id), _message)

    async def called(self, limit: int) -> list[str]:
        """Runs with something in their inbox, those that wait the longest first."""
        query = select(inbox.c.run).group_by(inbox.c.run).order_by(func.min(inbox.c.id)).limit(limit)
        return await self._all(query, lambda row: str(row.run))

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


def _page(wanted: Mapping[str, object], connection: Connection) -> list[tuple[int, list[AnyEntry]]]:
    return [(sequence, decode_entries(data)) for sequence, data in connection.execute(_NEXT_PAGE, wanted).all()]


def _messages(run: str, connection: Connection) -> list[Message]:
    return [_message(row) for row in connection.execute(_MESSAGES, {"run": run})]


def _unfinished(limit: int, after: str | None) -> Select[Any]:
    query = select(runs.c.id, runs.c.due_at, runs.c.recoveries, runs.c.node, runs.c.sequence).where(
        runs.c.finished_at.is_(None)
    )
    if after is not None:
        query = query.where(runs.c.id > after)
    return query.order_by(runs.c.id).limit(limit)


def _unfinished_run(row: Row[Any]) -> Unfinished:
    return Unfinished(row.id, row.due_at, row.recoveries, was_busy=row.node is not None, sequence=row.sequence)


def _run_rows(connection: Connection, query: Select[Any]) -> list[RunRow]:
    """The runs that a query finds, with their tags."""
    found = connection.execute(query).mappings().all()
    of = tags.c.run.in_([row["id"] for row in found])
    put = connection.execute(select(tags.c.run, tags.c.tag).where(of).order_by(tags.c.tag)).all()
    tags_of: dict[str, list[str]] = {}
    for run, tag in put:
        tags_of.setdefault(run, []).append(tag)
    return [RunRow(**row, tags=tuple(tags_of.get(row["id"], ()))) for row in found]


def _event(row: Row[Any]) -> Event:
    return Event(**{**row._mapping, "data": unpack(row.data)})


def _delivery(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(**{**row._mapping, "headers": unpack(row.headers)})


def _schedule(row: Row[Any]) -> ScheduleRow:
    return ScheduleRow(**{**row._mapping, "waiting": tuple(msgspec.json.decode(row.waiting))})


def _message(row: Row[Any]) -> Message:
    return Message(**{**row._mapping, "data": unpack(row.data)})
