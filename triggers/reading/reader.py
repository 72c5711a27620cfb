"""Whatever can answer a command that only reads: the running service, or the instance's files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from durable.lazy import load_module
from triggers import documents
from triggers.documents import Scope
from triggers.instance import Instance
from triggers.reading.client import connect_service

OFFLINE = "triggers.reading.offline"
"""Loaded only where no service runs: the journal's libraries take half a second to import."""


class Reader(Protocol):
    """What a command can ask; `url` is the address of the running service, None if there is none."""

    @property
    def url(self) -> str | None: ...

    async def list_runs(self, **filters: str | int | None) -> list[documents.RunLineDocument]: ...
    async def get_run(self, run: str) -> documents.RunDocument: ...
    async def get_history(self, run: str) -> list[documents.EntryDocument]: ...
    async def export_run(self, run: str) -> str: ...
    async def list_waits(self, run: str | None) -> list[documents.PendingDocument]: ...
    async def list_deliveries(self, **filters: str | int | None) -> list[documents.DeliveryDocument]: ...
    async def list_pipelines(self) -> list[documents.PipelineLineDocument]: ...
    async def list_schedules(self) -> list[documents.ScheduleDocument]: ...


class KeyStore(Protocol):
    """What keeps the keys of the API: the running service, or the journal."""

    async def list_keys(self) -> list[documents.KeyDocument]: ...
    async def create_key(self, name: str, scope: Scope) -> documents.MadeKeyDocument: ...
    async def revoke_key(self, key: str) -> documents.KeyDocument: ...


@asynccontextmanager
async def open_reader(instance: Instance) -> AsyncIterator[Reader]:
    """The running service if there is one, otherwise the instance's files. Reading them raises the journal's errors."""
    async with connect_service(instance) as client:
        if client:
            yield client
            return

    async with load_module(OFFLINE).open_files(instance) as files:
        yield files


@asynccontextmanager
async def open_key_store(instance: Instance) -> AsyncIterator[KeyStore]:
    """The running service if there is one, otherwise the journal, which is locked meanwhile as a service locks it."""
    async with connect_service(instance) as client:
        if client:
            yield client
            return

    async with load_module(OFFLINE).open_keys(instance) as keys:
        yield keys
