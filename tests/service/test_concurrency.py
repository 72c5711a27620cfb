"""Concurrency limits of a pipeline: queueing, skipping, cancelling, and the rule that no slot is ever lost."""

import asyncio
from pathlib import Path

import pytest

from tests.service.gates import Gates, begin, copy_after_crash, rows, until_out_of_memory, until_status
from tests.service.running import Running

pytestmark = pytest.mark.anyio


def _make_pipeline(concurrency: str, more: str = "") -> str:
    return f"""
inputs: {{who: {{type: string, default: a}}}}
concurrency: {{{concurrency}}}
defaults: {{retry: {{max_attempts: 1}}}}
steps: [{{id: work, use: gate.pass, with: {{what: "{{{{ inputs.who }}}}"}}}}]
{more}"""


ONE = _make_pipeline("limit: 1")
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


async def test_queued_runs_start_in_order(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        runs = [await begin(service, "p") for _ in range(5)]
        await gates.wait_until_reached("a")
        statuses = [(await service.run(run))["status"] for run in runs]
        assert statuses == ["running", *["queued"] * 4]
        for run in runs[1:]:
            await until_out_of_memory(service, run)
        gates.open("a")
        ended = [await service.wait_for_end(run) for run in runs]
    assert [run["status"] for run in ended] == ["completed"] * 5
    finished = [run["finished_at"] for run in ended]
    assert finished == sorted(finished)
    assert gates.most["a"] == 1
    assert _slots(tmp_path) == []


async def test_two_hundred_runs_never_exceed_the_limit(tmp_path: Path) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"p": _make_pipeline("limit: 3")}) as service:
        runs = [run for _ in range(10) for run in await asyncio.gather(*(begin(service, "p") for _ in range(20)))]
        for run in runs:
            assert (await service.wait_for_end(run, within=60))["status"] == "completed"
    assert gates.most["a"] <= 3
    assert gates.passed.count("a") == 200
    assert _slots(tmp_path) == []


async def test_each_key_has_its_own_slots(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a", "b")
    async with gates.serving(tmp_path, {"p": _make_pipeline('limit: 1, key: "{{ inputs.who }}"')}) as service:
        runs = [await begin(service, "p", who=who) for who in "aabb"]
        await gates.wait_until_reached("a")
        await gates.wait_until_reached("b")
        assert gates.begun.count("a") == gates.begun.count("b") == 1
        gates.open("a", "b")
        for run in runs:
            assert (await service.wait_for_end(run))["status"] == "completed"


async def test_a_run_above_the_limit_is_skipped(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _make_pipeline("limit: 1, overflow: skip")}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("a")
        answer = await service.start("p")
        assert answer.status_code < 500
        gates.open("a")
        await service.wait_for_end(run)
        assert (await service.wait_for_end(await begin(service, "p")))["status"] == "completed"
    assert rows(tmp_path, "select count(*) from runs") == [(2,)]


async def test_the_oldest_runs_are_cancelled_for_new_ones(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _make_pipeline("limit: 2, overflow: cancel_oldest")}) as service:
        runs = [await begin(service, "p") for _ in range(6)]
        for run in runs[:4]:
            found = await service.wait_for_end(run)
            assert (found["status"], found["reason"]) == ("cancelled", "a newer run took its place")
        gates.open("a")
        for run in runs[4:]:
            assert (await service.wait_for_end(run))["status"] == "completed"
    assert gates.most["a"] <= 2
    assert _slots(tmp_path) == []


async def test_a_changed_limit_applies_immediately(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _make_pipeline("limit: 3")}) as service:
        runs = [await begin(service, "p") for _ in range(3)]
        await gates.wait_until_reached("a", 3)
        place = copy_after_crash(tmp_path)
    gates.begun.clear()
    gates.most.clear()
    async with gates.serving(place, {"p": ONE}) as service:
        await gates.wait_until_reached("a", 3)
        later = [await begin(service, "p") for _ in range(3)]
        assert [(await service.run(run))["status"] for run in later] == ["queued"] * 3
        gates.open("a")
        for run in [*runs, *later]:
            assert (await service.wait_for_end(run))["status"] == "completed"
    assert gates.most["a"] == 3
    assert _slots(place) == []


async def test_a_cancelled_run_frees_its_place_whether_queued_or_running(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        runs = [await begin(service, "p") for _ in range(3)]
        await gates.wait_until_reached("a")
        await until_out_of_memory(service, runs[1])
        await service.service.runner.cancel(runs[1])
        assert (await service.wait_for_end(runs[1]))["status"] == "cancelled"
        await service.service.runner.cancel(runs[0])
        await gates.wait_until_reached("a", 2)
        gates.open("a")
        assert (await service.wait_for_end(runs[2]))["status"] == "completed"
    assert _slots(tmp_path) == []


@pytest.mark.parametrize("pipeline", [EMPTY, UNFIT], ids=["ends at once", "has no key"])
async def test_a_run_that_ends_at_once_keeps_no_slot(tmp_path: Path, pipeline: str) -> None:
    async with Gates().serving(tmp_path, {"p": pipeline}) as service:
        for _ in range(3):
            assert (await service.wait_for_end(await begin(service, "p", who=1)))["status"] == "failed"
    assert _slots(tmp_path) == []


@pytest.mark.parametrize("ending", ["fails", "times out"])
async def test_a_run_that_fails_frees_its_slot(tmp_path: Path, ending: str) -> None:
    gates = Gates()
    timeout = "timeout: 300ms" if ending == "times out" else ""
    if timeout:
        gates.close("a")
    gates.failures["a"] = 1
    async with gates.serving(tmp_path, {"p": _make_pipeline("limit: 1", timeout)}) as service:
        first = await begin(service, "p")
        second = await begin(service, "p")
        assert (await service.wait_for_end(first))["status"] == "failed"
        await service.wait_for_end(second)
    assert _slots(tmp_path) == []


async def test_a_crash_loses_neither_queued_nor_active_runs(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": _make_pipeline("limit: 2")}) as service:
        runs = [await begin(service, "p") for _ in range(8)]
        await gates.wait_until_reached("a", 2)
        place = copy_after_crash(tmp_path)
    gates.open("a")
    gates.most.clear()
    async with gates.serving(place, {"p": _make_pipeline("limit: 2")}) as service:
        for run in runs:
            assert (await service.wait_for_end(run))["status"] == "completed"
    assert gates.most["a"] <= 2
    assert _slots(place) == []


async def test_a_delayed_run_requests_its_slot_when_it_is_due(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        first = await begin(service, "p")
        await gates.wait_until_reached("a")
        held = await service.client.post("/api/pipelines/p/runs", json={"inputs": {}, "delay": "300ms"})
        assert held.status_code == 202, held.text
        later = held.json()["id"]
        found = await until_queued_for_a_slot(service, later)
        assert "slot" in found
        assert [run for run, _ in _slots(tmp_path)] == sorted([later, first])
        gates.open("a")
        assert (await service.wait_for_end(later))["status"] == "completed"
    assert gates.most["a"] == 1
    assert _slots(tmp_path) == []


async def until_queued_for_a_slot(service: Running, run: str) -> str:
    async with asyncio.timeout(60):
        while "slot" not in str((found := await until_status(service, run, "queued"))["reason"]):
            await asyncio.sleep(0.01)
    return str(found["reason"])


@pytest.mark.parametrize("when", ["its time comes", "its turn comes"])
async def test_a_run_cancelled_before_it_begins_never_begins(tmp_path: Path, when: str) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        first = await begin(service, "p")
        await gates.wait_until_reached("a")
        delay = "1h" if when == "its time comes" else "1ms"
        held = await service.client.post("/api/pipelines/p/runs", json={"inputs": {}, "delay": delay})
        run = held.json()["id"]
        if when == "its turn comes":
            await until_queued_for_a_slot(service, run)
        await service.service.runner.cancel(run)
        assert (await service.wait_for_end(run))["status"] == "cancelled"
        gates.open("a")
        assert (await service.wait_for_end(first))["status"] == "completed"
    assert gates.begun == ["a"]
    assert _slots(tmp_path) == []
