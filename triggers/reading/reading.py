"""Whoever can tell about runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias

from triggers.instance import Instance
from triggers.reading.service import service

Document: TypeAlias = dict[str, Any]


class Reading(Protocol):
    """What a command can ask about runs; `url` is where the running service is reached."""

    @property
    def url(self) -> str | None: ...

    async def runs(self, **filters: str | int | None) -> list[Document]: ...
    async def tell(self, run: str) -> Document: ...
    async def history(self, run: str) -> list[Document]: ...
    async def exported(self, run: str) -> str: ...
    async def waits(self, run: str | None) -> list[Document]: ...
    async def deliveries(self, **filters: str | int | None) -> list[Document]: ...


@asynccontextmanager
async def reading(place: Instance) -> AsyncIterator[Reading]:
    """Whoever can tell about the runs of a data folder; raises the journal's errors if nobody can."""
    async with service(place) as running:
        if running:
            yield running
            return

    from triggers.reading.journal import from_journal  # noqa: PLC0415  # a second that a service spares the command

    async with from_journal(place.data) as source:
        yield source
