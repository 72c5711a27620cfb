"""How many runs of a pipeline work at once: who waits, who is skipped, who is cancelled; no slot is ever lost."""

import asyncio
from pathlib import Path

import pytest

from tests.service.gates import Gates, begin, dead, rows, until_out_of_memory, until_status
from tests.service.running import Running

pytestmark = pytest.mark.anyio


def _limited(concurrency: str, more: str = "") -> str:
    return f"""
inputs: {{who: {{type: string, default: a}}}}
concurrency: {{{concurrency}}}
defaults: {{retry: {{max_attempts: 1}}}}
steps: [{{id: work, use: gate.pass, with: {{what: "{{{{ inputs.who }}}}"}}}}]
{more}"""


ONE = _limited("limit: 1")
EMPTY = """
concurrency: {limit: 1}
steps: [{id: no, use: flow.fail, with: {message: no}}]
"""
UNFIT = """
concurrency: {limit: 1, key: "{{ inputs.who.name }}"}
inputs: {who: {}}
steps: [{id: work, use: gate.pass, with: {what: a}}]
"""


def _slots(place: Path) -> list[tuple[str, int]]:
    return [(run, held) for run, held in rows(place, "select run, is_held from slots order by run")]


async def test_runs_wait_for_their_turn_in_order(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        runs = [await begin(service, "p") for _ in range(5)]
        await gates.reached("a")
        statuses = [(await service.run(run))["status"] for run in runs]
        assert statuses == ["running", *["queued"] * 4]
        for run in runs[1:]:
            await until_out_of_memory(service, run)
        gates.open("a")
        ended = [await service.ended(run) for run in runs]
    assert [run["status"] for run in ended] == ["completed"] * 5
    finished = [run["finished_at"] for run in ended]
    assert finished == sorted(finished)
    assert gates.most["a"] == 1
    assert _slots(tmp_path) == []


async def test_two_hundred_runs_never_exceed_the_limit(tmp_path: Path) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"p": _limited("limit: 3")}) as service:
        runs = [run for _ in range(10) for run in await asyncio.gather(*(begin(service, "p") for _ in range(20)))]
        for run in runs:
            assert (await service.ended(run, within=60))["status"] == "completed"
    assert gates.most["a"] <= 3
    assert gates.passed.count("a") == 200
    assert _slots(tmp_path) == []


async def test_each_key_has_slots_of_its_own(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a", "b")
    async with gates.serving(tmp_path, {"p": _limited('limit: 1, key: "{{ inputs.who }}"')}) as service:
        runs = [await begin(service, "p", who=who) for who in "aabb"]
        await gates.reached("a")
        await gates.reached("b")
        assert gates.begun.count("a") == gates.begun.count("b") == 1
        gates.open("a", "b")
        for run in runs:
            assert (await service.ended(run))["status"] == "completed"


async def test_a_run_too_many_is_skipped(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _limited("limit: 1, overflow: skip")}) as service:
        run = await begin(service, "p")
        await gates.reached("a")
        answer = await service.start("p")
        assert answer.status_code < 500
        gates.open("a")
        await service.ended(run)
        assert (await service.ended(await begin(service, "p")))["status"] == "completed"
    assert rows(tmp_path, "select count(*) from runs") == [(2,)]


async def test_the_oldest_makes_room(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _limited("limit: 2, overflow: cancel_oldest")}) as service:
        runs = [await begin(service, "p") for _ in range(6)]
        for run in runs[:4]:
            found = await service.ended(run)
            assert (found["status"], found["reason"]) == ("cancelled", "a newer run took its place")
        gates.open("a")
        for run in runs[4:]:
            assert (await service.ended(run))["status"] == "completed"
    assert gates.most["a"] <= 2
    assert _slots(tmp_path) == []


async def test_a_changed_limit_counts_from_now_on(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _limited("limit: 3")}) as service:
        runs = [await begin(service, "p") for _ in range(3)]
        await gates.reached("a", 3)
        place = dead(tmp_path)
    gates.begun.clear()
    gates.most.clear()
    async with gates.serving(place, {"p": ONE}) as service:
        await gates.reached("a", 3)
        later = [await begin(service, "p") for _ in range(3)]
        assert [(await service.run(run))["status"] for run in later] == ["queued"] * 3
        gates.open("a")
        for run in [*runs, *later]:
            assert (await service.ended(run))["status"] == "completed"
    assert gates.most["a"] == 3
    assert _slots(place) == []


async def test_a_cancelled_run_gives_its_place_away_wherever_it_stands(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        runs = [await begin(service, "p") for _ in range(3)]
        await gates.reached("a")
        await until_out_of_memory(service, runs[1])
        await service.service.runner.cancel(runs[1])
        assert (await service.ended(runs[1]))["status"] == "cancelled"
        await service.service.runner.cancel(runs[0])
        await gates.reached("a", 2)
        gates.open("a")
        assert (await service.ended(runs[2]))["status"] == "completed"
    assert _slots(tmp_path) == []


@pytest.mark.parametrize("pipeline", [EMPTY, UNFIT], ids=["ends at once", "has no key"])
async def test_a_run_that_ends_in_its_first_moment_keeps_no_slot(tmp_path: Path, pipeline: str) -> None:
    async with Gates().serving(tmp_path, {"p": pipeline}) as service:
        for _ in range(3):
            assert (await service.ended(await begin(service, "p", who=1)))["status"] == "failed"
    assert _slots(tmp_path) == []


@pytest.mark.parametrize("ending", ["fails", "times out"])
async def test_a_run_that_fails_frees_its_slot(tmp_path: Path, ending: str) -> None:
    gates = Gates()
    timeout = "timeout: 300ms" if ending == "times out" else ""
    if timeout:
        gates.close("a")
    gates.failures["a"] = 1
    async with gates.serving(tmp_path, {"p": _limited("limit: 1", timeout)}) as service:
        first = await begin(service, "p")
        second = await begin(service, "p")
        assert (await service.ended(first))["status"] == "failed"
        await service.ended(second)
    assert _slots(tmp_path) == []


async def test_a_crash_loses_neither_those_who_wait_nor_those_who_work(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _limited("limit: 2")}) as service:
        runs = [await begin(service, "p") for _ in range(8)]
        await gates.reached("a", 2)
        place = dead(tmp_path)
    gates.open("a")
    gates.most.clear()
    async with gates.serving(place, {"p": _limited("limit: 2")}) as service:
        for run in runs:
            assert (await service.ended(run))["status"] == "completed"
    assert gates.most["a"] <= 2
    assert _slots(place) == []


async def test_a_run_that_is_held_back_asks_for_its_slot_when_its_time_comes(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        held = await service.client.post("/api/pipelines/p/runs", json={"inputs": {}, "delay": "300ms"})
        assert held.status_code == 202, held.text
        later = held.json()["id"]
        first = await begin(service, "p")
        await gates.reached("a")
        found = await until_queued_for_a_slot(service, later)
        assert "slot" in found
        assert [run for run, _ in _slots(tmp_path)] == sorted([later, first])
        gates.open("a")
        assert (await service.ended(later))["status"] == "completed"
    assert gates.most["a"] == 1
    assert _slots(tmp_path) == []


async def until_queued_for_a_slot(service: Running, run: str) -> str:
    async with asyncio.timeout(60):
        while "slot" not in str((found := await until_status(service, run, "queued"))["reason"]):
            await asyncio.sleep(0.01)
    return str(found["reason"])


@pytest.mark.parametrize("when", ["its time comes", "its turn comes"])
async def test_a_run_that_is_cancelled_before_it_begins_never_does(tmp_path: Path, when: str) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        first = await begin(service, "p")
        await gates.reached("a")
        delay = "1h" if when == "its time comes" else "1ms"
        held = await service.client.post("/api/pipelines/p/runs", json={"inputs": {}, "delay": delay})
        run = held.json()["id"]
        if when == "its turn comes":
            await until_queued_for_a_slot(service, run)
        await service.service.runner.cancel(run)
        assert (await service.ended(run))["status"] == "cancelled"
        gates.open("a")
        assert (await service.ended(first))["status"] == "completed"
    assert gates.begun == ["a"]
    assert _slots(tmp_path) == []
