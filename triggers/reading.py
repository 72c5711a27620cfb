"""How commands read runs: from the running service over its API, or from the journal itself where none runs."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import httpx

from durable.journal import Reads, open_reader
from durable.values import JSON
from triggers import runs

Document = dict[str, Any]


class Refused(Exception):
    """The service answered with an error; the message is its own."""


class Reading(Protocol):
    """What a command can ask about runs."""

    async def runs(self, **filters: str | int | None) -> list[Document]: ...
    async def tell(self, run: str) -> Document: ...
    async def history(self, run: str) -> list[Document]: ...


class OverApi:
    """Asks the running service."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def runs(self, **filters: str | int | None) -> list[Document]:
        answer = await self._ask("GET", "/api/runs", params={k: v for k, v in filters.items() if v is not None})
        return list(answer["runs"])

    async def tell(self, run: str) -> Document:
        return await self._ask("GET", f"/api/runs/{run}")

    async def history(self, run: str) -> list[Document]:
        return list((await self._ask("GET", f"/api/runs/{run}/history"))["entries"])

    async def cancel(self, run: str, reason: str | None) -> Document:
        return await self._ask("POST", f"/api/runs/{run}/cancel", json={"reason": reason})

    async def ping(self) -> None:
        """Raises `httpx.TransportError` if nobody answers."""
        await self._client.get("/health")

    async def _ask(self, method: str, path: str, **more: Any) -> Document:
        answer = await self._client.request(method, path, **more)
        try:
            document: Document = answer.json()
        except ValueError:
            raise Refused(
                f"{self._client.base_url} answered {answer.status_code} without JSON: is it Waypost?"
            ) from None
        if answer.is_error:
            raise Refused(str(document.get("detail", document)))
        return document


class FromJournal:
    """Reads the journal's file, beside a service or without one."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def runs(self, **filters: Any) -> list[Document]:
        return [runs.row(run) for run in await self._reads.runs(**filters)]

    async def tell(self, run: str) -> dict[str, JSON]:
        return await runs.tell(self._reads, run)

    async def history(self, run: str) -> list[dict[str, JSON]]:
        return await runs.history(self._reads, run)


@contextlib.asynccontextmanager
async def reading(data: Path, key: str | None) -> AsyncIterator[Reading]:
    """Whoever can tell about the runs of a data folder; raises the journal's errors if nobody can."""
    async with service(data, key) as running:
        if running:
            yield running
            return
    reads = await open_reader(data)
    try:
        yield FromJournal(reads)
    finally:
        await reads.close()


@contextlib.asynccontextmanager
async def service(data: Path, key: str | None) -> AsyncIterator[OverApi | None]:
    """The service that works on a data folder, None if none answers. `key` overrides the folder's own."""
    try:
        address = json.loads((data / "service.json").read_text())["url"]
        key = key or (data / "api.key").read_text().strip()
    except (OSError, ValueError, KeyError):
        yield None
        return
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=30) as client:
        running = OverApi(client)
        try:
            await running.ping()
        except httpx.TransportError:
            yield None
            return
        yield running
