"""Runs that were in progress when their process died."""

import asyncio
import time
from pathlib import Path

from durable.journal.journal import Journal
from tests.service.running import Outside, running


def _never(error: BaseException) -> None:
    raise AssertionError(error)


def calling_pipeline(world: Outside) -> str:
    """A pipeline of one step, which calls the outside server."""
    return f'steps:\n  - {{id: call, use: http.post, with: {{url: "{world.url}/x", json: {{}}}}}}\n'


async def die(tmp_path: Path, runs: list[str], deaths: int) -> None:
    """Leave the runs as after `deaths` crashes in the middle of them, one after the other."""
    for number in range(deaths):
        journal = await Journal.open(tmp_path / "data", node=f"node-{number}", on_fatal=_never)
        for run in runs:
            await journal.take_over(run, int(time.time() * 1000), count_recovery=number > 0)
        await journal.close()


async def begin_calls(tmp_path: Path, world: Outside, count: int) -> list[str]:
    """Start `count` runs of that pipeline, and stop the service before the outside server has answered."""
    world.hangs_until = gate = asyncio.Event()
    async with running(tmp_path, {"p": calling_pipeline(world)}, drain_timeout="0s") as service:
        runs = [(await service.start("p")).json()["id"] for _ in range(count)]
        async with asyncio.timeout(60):
            while len(world.requests) < count:
                await asyncio.sleep(0.01)
    gate.set()
    world.hangs_until = None
    while world.at_once:
        await asyncio.sleep(0.01)
    world.requests.clear()
    world.most_at_once = 0
    return runs
