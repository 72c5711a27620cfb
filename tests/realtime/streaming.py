"""A client of streams over SSE."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx


class Received(NamedTuple):
    """An event as it arrived. A comment has no name."""

    event: str
    id: str | None
    data: Any


class EventReader:
    """The events of a response, one after another."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Received | None:
        """Return the next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line and fields.keys() & {"data", ""}:
                data = fields.get("data")
                return Received(fields.get("event", ""), fields.get("id"), json.loads(data) if data else None)
            name, _, value = line.partition(": ")
            fields[name.rstrip(":")] = value
        return None

    async def until(self, name: str) -> list[Received]:
        """Return all events up to the first of this name, without comments."""
        found: list[Received] = []
        while event := await self.next():
            if event.event:
                found.append(event)
            if event.event == name:
                return found
        raise AssertionError(f"the stream ended without {name}: {found}")

    async def until_status(self, status: str) -> list[Received]:
        """Return all events up to the first state of a run with this status."""
        found = await self.until("run")
        while found[-1].data["status"] != status:
            found += await self.until("run")
        return found

    async def rest(self) -> list[Received]:
        """Return all events up to the end of the stream, without comments."""
        found: list[Received] = []
        while event := await self.next():
            found += [event] if event.event else []
        return found


@asynccontextmanager
async def open_stream(client: httpx.AsyncClient, path: str, **headers: str) -> AsyncIterator[EventReader]:
    """Open a stream below `/api`."""
    async with client.stream("GET", f"/api{path}", headers=headers, timeout=60) as answer:
        yield EventReader(answer)
