"""What a journal's file tells of runs, beside a service or without one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from durable.journal.reads import Reads, open_reader
from durable.values import JSON
from triggers import export, runs
from triggers.waits import listing

Document: TypeAlias = dict[str, Any]

PAGE = 100
"""Unfinished runs that are looked at in one go."""


class JournalReader:
    """Reads the journal itself."""

    url: str | None = None
    """No service is asked."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def runs(self, **filters: Any) -> list[Document]:
        return [runs.describe_run_row(run) for run in await self._reads.list_runs(**filters)]

    async def get_run(self, run: str) -> dict[str, JSON]:
        told: Document = msgspec.json.decode(await runs.encode_run(self._reads, run))
        return told

    async def history(self, run: str) -> list[dict[str, JSON]]:
        lines: list[dict[str, JSON]] = []
        after: int | None = 0
        while after is not None:
            page, after = await runs.encode_history(self._reads, run, after)
            lines += msgspec.json.decode(page)
        return lines

    async def export_run(self, run: str) -> str:
        return (await export.export_run(self._reads, run)).decode()

    async def waits(self, run: str | None) -> list[dict[str, JSON]]:
        if run is not None:
            return await listing.list_waits_of(self._reads, run, may_answer=True)
        waits: list[dict[str, JSON]] = []
        after: str | None = None
        while True:
            found, after = await listing.list_waits(self._reads, after, PAGE, may_answer=True)
            waits += found
            if after is None:
                return waits

    async def deliveries(self, **filters: Any) -> list[dict[str, JSON]]:
        return [runs.describe_delivery(each) for each in await self._reads.list_deliveries(**filters)]


@asynccontextmanager
async def open_journal_reader(data: Path) -> AsyncIterator[JournalReader]:
    """The journal of a data folder, to be read; raises the journal's errors."""
    reads = await open_reader(data)
    try:
        yield JournalReader(reads)
    finally:
        await reads.close()
