"""Recovery at start of runs that were in progress when their process died."""

from pathlib import Path

import pytest

from tests.service.deaths import begin_calls, calling_pipeline, die
from tests.service.running import outside, running

pytestmark = pytest.mark.anyio


async def test_a_run_over_the_recovery_limit_is_paused_with_its_reason(tmp_path: Path) -> None:
    async with outside() as world:
        (run,) = await begin_calls(tmp_path, world, 1)
        await die(tmp_path, [run], 6)
        async with running(tmp_path, {"p": calling_pipeline(world)}, recovery_limit=5) as service:
            found = await service.wait_for_end(run)
            assert found["status"] == "paused"
            assert "recovered 6 times without any progress" in found["reason"]
            assert not world.requests, "what may kill the process is not performed again"


async def test_suspects_are_recovered_one_at_a_time_and_progress_clears_them(tmp_path: Path) -> None:
    async with outside() as world:
        runs = await begin_calls(tmp_path, world, 4)
        await die(tmp_path, runs, 3)
        world.delay = 0.1
        async with running(tmp_path, {"p": calling_pipeline(world)}) as service:
            for run in runs:
                assert (await service.wait_for_end(run))["status"] == "completed"
    assert world.most_at_once == 1
    assert len(world.requests) == 4


async def test_runs_that_crashed_once_are_recovered_together(tmp_path: Path) -> None:
    async with outside() as world:
        runs = await begin_calls(tmp_path, world, 4)
        await die(tmp_path, runs, 1)
        world.delay = 0.3
        async with running(tmp_path, {"p": calling_pipeline(world)}) as service:
            for run in runs:
                assert (await service.wait_for_end(run))["status"] == "completed"
    assert world.most_at_once == 4
