"""A whole service with the pipelines beside this file, and what a scene does with it."""

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
    """One service after the other over one data folder."""

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
        """The process is killed, and the next one finds what was on the disk in that moment; it may lack `stand`."""
        self._place = copy_after_crash(self._place)
        await self.close()
        self.stand = Stand()
        await self.open(has_stand=has_stand, **settings)

    async def drains(self) -> None:
        """The service is stopped, cuts off what is under way, and the next one goes on."""
        await self.close()
        self.stand = Stand()
        await self.open()

    async def begins(self, pipeline: str, **body: Any) -> str:
        answer = await self.service.client.post(f"/api/pipelines/{pipeline}/runs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def is_(self, run: str, status: str) -> dict[str, Any]:
        """The run, once it has that status."""
        return await until_status(self.service, run, status)

    async def has(self, run: str, kind: str, times: int = 1) -> None:
        """Return once the history has so many such entries."""
        await until_entry(self.service, run, kind, times)

    async def ends(self, run: str) -> None:
        await self.service.wait_for_end(run)

    async def says(self, run: str, what: str, **said: Any) -> None:
        answer = await self.service.client.post(f"/api/runs/{run}/{what}", json=said or None)
        assert answer.status_code == 202, answer.text

    async def follows(self, run: str, said: Any) -> None:
        """Somebody posts to the link of the run's only wait that has one."""
        await self.is_(run, "waiting")
        waits = (await self.service.run(run))["waits"]
        async with httpx.AsyncClient(trust_env=False) as somebody:
            answer = await somebody.post(next(wait["link"] for wait in waits if wait["link"]), json=said)
        assert answer.status_code == 202, answer.text

    async def happens(self, **event: Any) -> list[str]:
        """An event comes; the runs that it starts."""
        answer = await self.service.client.post("/api/events", json=event)
        assert answer.status_code in (200, 202), answer.text
        return list(answer.json()["runs"])

    async def listed(self, pipeline: str) -> list[str]:
        """The runs of a pipeline, the last first, once there is one."""
        async with asyncio.timeout(60):
            while True:
                page = await self.service.client.get("/api/runs", params={"pipeline": pipeline})
                if runs := [str(run["id"]) for run in page.json()["runs"]]:
                    return runs
                await asyncio.sleep(0.01)

    async def recorded(self, run: str) -> tuple[str, bytes]:
        """The run's status and its history."""
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
