"""A whole service with the pipelines next to this file, and what a scene can do with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.histories import FOLDER
from tests.service.gates import copy_after_crash, until_entry, until_status
from tests.service.running import ENVIRONMENT, Running, running
from tests.standins.stand import Stand

PIPELINES = {path.stem: path.read_text() for path in sorted((FOLDER / "pipelines").glob("*.yaml"))}


class Stage:
    """One service after the other on one data folder."""

    def __init__(self, place: Path, pipelines: dict[str, str]) -> None:
        self._place = place
        self._pipelines = pipelines
        self._stack = AsyncExitStack()
        self.stand = Stand()

    async def open(self, *, has_stand: bool = True, **settings: object) -> None:
        options = {"drain_timeout": "0s", "log_level": "error", **settings}
        connectors = [self.stand.connector] if has_stand else []
        served = running(self._place, self._pipelines, ENVIRONMENT, connectors, **options)
        self.service: Running = await self._stack.enter_async_context(served)
        problems = [str(each) for file in self.service.service.folder.files for each in file.problems]
        assert not (problems and has_stand), problems

    async def close(self) -> None:
        await self._stack.aclose()

    async def dies(self, *, has_stand: bool = True, **settings: object) -> None:
        """Kill the process; the next one finds what was on disk at that moment. It may lack `stand`."""
        self._place = copy_after_crash(self._place)
        await self.close()
        self.stand = Stand()
        await self.open(has_stand=has_stand, **settings)

    async def drains(self) -> None:
        """Stop the service, which interrupts attempts in progress; the next one continues."""
        await self.close()
        self.stand = Stand()
        await self.open()

    async def begins(self, pipeline: str, **body: Any) -> str:
        answer = await self.service.client.post(f"/api/pipelines/{pipeline}/runs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def is_(self, run: str, status: str) -> dict[str, Any]:
        """Return the run once it has this status."""
        return await until_status(self.service, run, status)

    async def has(self, run: str, kind: str, times: int = 1) -> None:
        """Return once the history has `times` entries of this kind."""
        await until_entry(self.service, run, kind, times)

    async def ends(self, run: str) -> dict[str, Any]:
        return await self.service.wait_for_end(run)

    async def says(self, run: str, what: str, **fields: Any) -> None:
        answer = await self.service.client.post(f"/api/runs/{run}/{what}", json=fields or None)
        assert answer.status_code == 202, answer.text

    async def forks(self, run: str, **fields: Any) -> str:
        """Fork a run, and return the new one."""
        answer = await self.service.client.post(f"/api/runs/{run}/fork", json=fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def follows(self, run: str, fields: Any) -> None:
        """Post to the link of the run's only wait that has one."""
        await self.is_(run, "waiting")
        waits = (await self.service.run(run))["waits"]
        async with httpx.AsyncClient(trust_env=False) as somebody:
            answer = await somebody.post(next(wait["link"] for wait in waits if wait["link"]), json=fields)
        assert answer.status_code == 202, answer.text

    async def happens(self, **event: Any) -> list[str]:
        """Send an event, and return the runs that it starts."""
        answer = await self.service.client.post("/api/events", json=event)
        assert answer.status_code in (200, 202), answer.text
        return list(answer.json()["runs"])

    async def list_runs(self, pipeline: str) -> list[str]:
        """The runs of a pipeline, newest first, once there is one."""
        async with asyncio.timeout(60):
            while True:
                page = await self.service.client.get("/api/runs", params={"pipeline": pipeline})
                if runs := [str(run["id"]) for run in page.json()["runs"]]:
                    return runs
                await asyncio.sleep(0.01)

    async def export_run(self, run: str) -> tuple[str, bytes]:
        """The status and the history of the run."""
        answer = await self.service.client.get(f"/api/runs/{run}/export")
        assert answer.status_code == 200, answer.text
        return (await self.service.run(run))["status"], answer.content


@asynccontextmanager
async def stage(place: Path) -> AsyncIterator[Stage]:
    made = Stage(place, PIPELINES)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
