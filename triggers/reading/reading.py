"""Whoever can tell about runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias

from triggers.instance import Instance
from triggers.reading.service import connect_service

Document: TypeAlias = dict[str, Any]


class RunReader(Protocol):
    """What a command can ask about runs; `url` is where the running service is reached."""

    @property
    def url(self) -> str | None: ...

    async def runs(self, **filters: str | int | None) -> list[Document]: ...
    async def get_run(self, run: str) -> Document: ...
    async def history(self, run: str) -> list[Document]: ...
    async def export_run(self, run: str) -> str: ...
    async def waits(self, run: str | None) -> list[Document]: ...
    async def deliveries(self, **filters: str | int | None) -> list[Document]: ...


@asynccontextmanager
async def open_run_reader(place: Instance) -> AsyncIterator[RunReader]:
    """Whoever can tell about the runs of a data folder; raises the journal's errors if nobody can."""
    async with connect_service(place) as running:
        if running:
            yield running
            return

    from triggers.reading.journal import open_journal_reader  # noqa: PLC0415  # a second that a service spares the command

    async with open_journal_reader(place.data) as source:
        yield source
