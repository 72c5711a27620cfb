"""A wall clock that is set while runs wait: durations keep their length, and absolute times stay absolute."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.service.gates import Gates, begin, copy_after_crash, until_entry, until_out_of_memory, until_status
from tests.service.running import Running

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
BACK = [-2 * HOUR, -48 * HOUR]


class Clock:
    """A wall clock that can be set."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset


WORK = "steps: [{id: work, use: gate.pass, with: {what: work}%s}]"
SPANS = {
    "delay": ("steps: [{id: nap, use: wait.delay, with: {for: 500ms}}]", "wait_started", "completed"),
    "back_off": (
        WORK % ", retry: {max_attempts: 2, min_delay: 1s, max_delay: 1s, factor: 1}",
        "retry_scheduled",
        "completed",
    ),
    "every": (
        "steps: [{id: again, repeat: {until: index == 1, every: 500ms, max_times: 3}, steps: [{id: a, use: log.write,"
        " with: {message: hello}}]}]",
        "timer_set",
        "completed",
    ),
    "wait_timeout": (
        "steps: [{id: ask, use: wait.webhook, timeout: 500ms, on_timeout: {said: nothing}}]",
        "wait_started",
        "completed",
    ),
    "first_of_several": (
        "steps: [{id: first, use: wait.any, with: {waits: {a: {use: wait.webhook}, b: {use: wait.delay, with: {for: "
        "500ms}}}}, timeout: 1h, on_timeout: fail}]",
        "wait_started",
        "completed",
    ),
    "call_timeout": (
        "steps: [{id: call, use: flow.call, with: {pipeline: slow}, timeout: 500ms}]",
        "timer_set",
        "failed",
    ),
    "run_timeout": (
        "timeout: 1s\nsteps: [{id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}]",
        "wait_started",
        "failed",
    ),
}
SLOW = "steps: [{id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}]"


@pytest.mark.parametrize("step", BACK)
@pytest.mark.parametrize("kind", SPANS)
async def test_a_clock_set_back_prolongs_no_wait(tmp_path: Path, kind: str, step: int) -> None:
    text, waits, status = SPANS[kind]
    clock, gates = Clock(), Gates()
    gates.failures["work"] = 1
    async with gates.serving(tmp_path, {"p": text, "slow": SLOW}, now=clock) as service:
        run = await begin(service, "p")
        await until_entry(service, run, waits)
        clock.offset += step
        assert (await service.wait_for_end(run))["status"] == status


@pytest.mark.parametrize("kind", SPANS)
async def test_a_clock_set_back_prolongs_no_wait_of_an_evicted_run(tmp_path: Path, kind: str) -> None:
    text, waits, status = SPANS[kind]
    clock, gates = Clock(), Gates()
    gates.failures["work"] = 1
    async with gates.serving(tmp_path, {"p": text, "slow": SLOW}, now=clock) as service:
        service.service.runner.runs.evict_after = 0
        run = await begin(service, "p")
        await until_entry(service, run, waits)
        clock.offset -= 2 * HOUR
        await service.service.recovery.sweep()
        assert (await service.wait_for_end(run))["status"] == status


@pytest.mark.parametrize("kind", SPANS)
async def test_a_clock_set_back_during_downtime_prolongs_no_wait(tmp_path: Path, kind: str) -> None:
    text, waits, status = SPANS[kind]
    gates = Gates()
    gates.failures["work"] = 1
    async with gates.serving(tmp_path, {"p": text, "slow": SLOW}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, waits)
        place = copy_after_crash(tmp_path)
    async with gates.serving(place, {"p": text, "slow": SLOW}, now=Clock(-2 * HOUR)) as service:
        assert (await service.wait_for_end(run))["status"] == status


async def test_a_step_reached_after_the_clock_is_set_back_begins_at_once(tmp_path: Path) -> None:
    clock, gates = Clock(), Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"p": WORK % ""}, now=clock) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        place = copy_after_crash(tmp_path)
    gates.open("work")
    async with gates.serving(place, {"p": WORK % ""}, now=Clock(-48 * HOUR)) as service:
        ended = await service.wait_for_end(run)
        assert (ended["status"], ended["steps"]["work"]["attempts"]) == ("completed", 2)


@pytest.mark.parametrize("given", [{"delay": "500ms"}, {"delay": "1h", "expires_in": "500ms"}])
async def test_a_clock_set_back_prolongs_neither_delay_nor_expiry_of_a_run(
    tmp_path: Path, given: dict[str, str]
) -> None:
    clock, gates = Clock(), Gates()
    async with gates.serving(tmp_path, {"p": WORK % ""}, now=clock) as service:
        run = (await service.client.post("/api/pipelines/p/runs", json=given)).json()["id"]
        clock.offset -= 2 * HOUR
        assert (await service.wait_for_end(run))["status"] == ("cancelled" if "expires_in" in given else "completed")


UNTIL = "inputs: {time: {type: string}}\nsteps: [{id: nap, use: wait.until, with: {time: '{{ inputs.time }}'}}]"


async def _until(service: Running, clock: Clock, after: int) -> str:
    moment = datetime.fromtimestamp((clock() + after) / 1000, UTC).isoformat()
    run = await begin(service, "p", time=moment)
    await until_entry(service, run, "wait_started")
    return run


@pytest.mark.parametrize("after", [20_000, HOUR])
async def test_a_wait_until_a_time_ends_only_when_the_clock_passes_that_time(tmp_path: Path, after: int) -> None:
    clock, gates = Clock(), Gates()
    async with gates.serving(tmp_path, {"p": UNTIL}, now=clock) as service:
        run = await _until(service, clock, after)
        clock.offset -= HOUR
        await service.service.recovery.sweep()
        await service.service.recovery.sweep()
        assert (await service.run(run))["status"] == "waiting"
        clock.offset += HOUR + after
        assert (await service.wait_for_end(run))["status"] == "completed"


async def test_a_distant_wait_is_rescheduled_once_after_the_clock_is_set_back(tmp_path: Path) -> None:
    clock, gates = Clock(), Gates()
    async with gates.serving(tmp_path, {"p": UNTIL}, now=clock) as service:
        run = await _until(service, clock, HOUR)
        await until_out_of_memory(service, run)
        clock.offset -= 2 * HOUR
        for _ in range(2):
            await service.service.recovery.sweep()
        await until_out_of_memory(service, run)
        before = await service.service.journal.find_run(run)
        for _ in range(3):
            await service.service.recovery.sweep()
        found = await service.service.journal.find_run(run)
        assert found == before, "no sweep takes it up before its time"
        assert found is not None
        assert (found.due_at or 0) > clock()


async def test_a_delay_of_a_run_in_memory_does_not_end_early_when_the_clock_is_set_forward(tmp_path: Path) -> None:
    clock, gates = Clock(), Gates()
    text = "steps: [{id: nap, use: wait.delay, with: {for: 20s}}]"
    async with gates.serving(tmp_path, {"p": text}, now=clock) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "wait_started")
        clock.offset += 48 * HOUR
        await service.service.recovery.sweep()
        await asyncio.sleep(0)
        assert (await until_status(service, run, "waiting"))["finished_at"] is None
