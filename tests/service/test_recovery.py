"""What a start does with runs that were at work when their process died."""

import asyncio
import time
from pathlib import Path

import pytest

from durable.journal.journal import Journal
from tests.service.running import Outside, outside, running

pytestmark = pytest.mark.anyio


def _never(error: BaseException) -> None:
    raise AssertionError(error)


def _calls(world: Outside) -> str:
    return f'steps:\n  - {{id: call, use: http.post, with: {{url: "{world.url}/x", json: {{}}}}}}\n'


async def _deaths(tmp_path: Path, runs: list[str], deaths: int) -> None:
    """Leave the runs behind as processes do that die in the middle of them, again and again."""
    for number in range(deaths):
        journal = await Journal.open(tmp_path / "data", node=f"node-{number}", on_fatal=_never)
        for run in runs:
            await journal.take_over(run, int(time.time() * 1000), count_recovery=number > 0)
        await journal.close()


async def _begun(tmp_path: Path, world: Outside, count: int) -> list[str]:
    world.hangs_until = gate = asyncio.Event()
    async with running(tmp_path, {"p": _calls(world)}, drain_timeout="0s") as service:
        runs = [(await service.start("p")).json()["id"] for _ in range(count)]
        async with asyncio.timeout(5):
            while len(world.requests) < count:
                await asyncio.sleep(0.01)
    gate.set()
    world.hangs_until = None
    while world.at_once:
        await asyncio.sleep(0.01)
    world.requests.clear()
    world.most_at_once = 0
    return runs


async def test_a_run_over_the_recovery_limit_is_paused_with_its_reason(tmp_path: Path) -> None:
    async with outside() as world:
        (run,) = await _begun(tmp_path, world, 1)
        await _deaths(tmp_path, [run], 6)
        async with running(tmp_path, {"p": _calls(world)}, recovery_limit=5) as service:
            found = await service.ended(run)
            assert found["status"] == "paused"
            assert "recovered 6 times without any progress" in found["reason"]
            assert not world.requests, "what may kill the process is not performed again"


async def test_suspects_are_recovered_one_at_a_time_and_progress_clears_them(tmp_path: Path) -> None:
    async with outside() as world:
        runs = await _begun(tmp_path, world, 4)
        await _deaths(tmp_path, runs, 3)
        world.delay = 0.1
        async with running(tmp_path, {"p": _calls(world)}) as service:
            for run in runs:
                assert (await service.ended(run))["status"] == "completed"
    assert world.most_at_once == 1
    assert len(world.requests) == 4


async def test_runs_that_died_once_are_recovered_together(tmp_path: Path) -> None:
    async with outside() as world:
        runs = await _begun(tmp_path, world, 4)
        await _deaths(tmp_path, runs, 1)
        world.delay = 0.3
        async with running(tmp_path, {"p": _calls(world)}) as service:
            for run in runs:
                assert (await service.ended(run))["status"] == "completed"
    assert world.most_at_once == 4
