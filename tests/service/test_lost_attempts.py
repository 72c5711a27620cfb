"""Attempts interrupted by a crash or a drain: each is counted and shown, and none counts against the retry policy."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from durable.history.entries import AttemptLost
from durable.journal.journal import Journal
from durable.values import NULL
from tests.service.gates import (
    Gates,
    begin,
    copy_after_crash,
    history,
    kinds,
    truncate_history,
    until_entry,
    until_out_of_memory,
    until_status,
)
from tests.service.running import Running

pytestmark = pytest.mark.anyio

ONE = "steps: [{id: work, use: gate.pass, with: {what: work}%s}]"


async def _list_lost_attempts(service: Running, run: str) -> list[tuple[str, int, str]]:
    entries = await history(service, run)
    return [(each.path, each.attempt, each.cause) for each in entries if isinstance(each, AttemptLost)]


async def _step(service: Running, run: str, path: str = "work") -> dict[str, Any]:
    found: dict[str, Any] = (await service.run(run))["steps"][path]
    return found


async def test_an_attempt_interrupted_by_a_crash_is_counted_and_shown(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"p": ONE % ""}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        place = copy_after_crash(tmp_path)
    gates.open("work")
    async with gates.serving(place, {"p": ONE % ""}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"
        step = await _step(service, run)
        assert (step["attempts"], step["lost"]) == (2, 1)
        assert [(each["attempt"], each["ending"]) for each in step["tries"]] == [(1, "lost"), (2, "completed")]
        assert step["tries"][0]["error"]["message"] == "the process ended during the attempt"
        assert await _list_lost_attempts(service, run) == [("work", 1, "crash")]
        metrics = (await service.client.get("/metrics")).text
        assert 'waypost_attempts_lost_total{action="gate.pass",cause="crash"}' in metrics
    assert len(set(gates.keys["work"])) == 1, "one key for all attempts"


async def test_a_run_that_crashes_repeatedly_shows_every_attempt(tmp_path: Path) -> None:
    gates, place = Gates(), tmp_path
    gates.close("work")
    async with gates.serving(place, {"p": ONE % ", retry: {max_attempts: 1}"}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        place = copy_after_crash(place)
    for times in (2, 3):
        async with gates.serving(place, {"p": ONE % ""}) as service:
            await gates.wait_until_reached("work", times)
            assert (await _step(service, run))["attempts"] == times
            place = copy_after_crash(place)
    gates.open("work")
    async with gates.serving(place, {"p": ONE % ""}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed", (
            "lost attempts do not count against max_attempts"
        )
        assert await _list_lost_attempts(service, run) == [("work", number, "crash") for number in (1, 2, 3)]
        assert (await _step(service, run))["attempts"] == 4 == gates.begun.count("work")


async def test_lost_attempts_are_not_progress_so_the_recovery_limit_applies(tmp_path: Path) -> None:
    gates, place = Gates(), tmp_path
    gates.close("work")
    async with gates.serving(place, {"p": ONE % ""}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        place = copy_after_crash(place)
    for times in (2, 3):
        async with gates.serving(place, {"p": ONE % ""}, recovery_limit=2) as service:
            await gates.wait_until_reached("work", times)
            place = copy_after_crash(place)
    async with gates.serving(place, {"p": ONE % ""}, recovery_limit=2) as service:
        found = await until_status(service, run, "paused")
        assert found["reason"] == "recovered 3 times without any progress: it may be what kills the process"
        assert len(await _list_lost_attempts(service, run)) == 3, "the last one is reported as well"
        async with asyncio.timeout(60):
            while (await _step(service, run))["attempts"] != 3:  # shown once the run is released
                await asyncio.sleep(0.005)
        gates.open("work")
        await service.client.post(f"/api/runs/{run}/resume")
        assert (await service.wait_for_end(run))["steps"]["work"]["attempts"] == 4 == gates.begun.count("work")


async def test_a_lost_attempt_does_not_use_up_a_retry(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    pipeline = ONE % ", retry: {max_attempts: 2, min_delay: 1ms}"
    async with gates.serving(tmp_path, {"p": pipeline}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        place = copy_after_crash(tmp_path)
    gates.open("work")
    gates.failures["work"] = 1
    async with gates.serving(place, {"p": pipeline}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"
        endings = [each["ending"] for each in (await _step(service, run))["tries"]]
        assert endings == ["lost", "answered", "completed"]


async def test_an_attempt_interrupted_by_a_drain_is_recorded_before_the_service_ends(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"p": ONE % ""}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
    gates.open("work")
    async with gates.serving(tmp_path, {"p": ONE % ""}, recovery_limit=1) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert await _list_lost_attempts(service, run) == [("work", 1, "drain")]
        step = await _step(service, run)
        assert step["attempts"] == 2 == gates.begun.count("work")
        assert step["tries"][0]["error"]["message"] == "the service was stopped during the attempt"
        assert step["tries"][0]["started_at"]


async def test_an_attempt_that_ends_during_the_drain_is_not_lost(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"p": ONE % ""}, drain_timeout="5s") as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        asyncio.get_running_loop().call_later(0.2, gates.open, "work")
    async with gates.serving(tmp_path, {"p": ONE % ""}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert (await _step(service, run))["attempts"] == 1
        assert "attempt_lost" not in await kinds(service, run)


async def test_a_drain_loses_only_started_attempts(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"p": ONE % ""}, max_attempts_in_flight=1) as service:
        first = await begin(service, "p")
        await gates.wait_until_reached("work")
        second = await begin(service, "p")
    gates.open("work")
    async with gates.serving(tmp_path, {"p": ONE % ""}) as service:
        assert (await service.wait_for_end(first))["steps"]["work"]["attempts"] == 2
        assert (await service.wait_for_end(second))["steps"]["work"]["attempts"] == 1


BACKS_OFF = ONE % ", retry: {max_attempts: 3, min_delay: 1h, max_delay: 1h, factor: 1}"


@pytest.mark.parametrize("is_killed", [True, False])
async def test_a_backoff_is_not_a_lost_attempt(tmp_path: Path, is_killed: bool) -> None:
    gates = Gates()
    gates.failures["work"] = 1
    async with gates.serving(tmp_path, {"p": BACKS_OFF}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "retry_scheduled")
        assert (await _step(service, run))["attempts"] == 1, "the second has not begun"
        place = copy_after_crash(tmp_path) if is_killed else tmp_path
    async with gates.serving(place, {"p": BACKS_OFF}) as service:
        await asyncio.sleep(0)
        assert "attempt_lost" not in await kinds(service, run)
        await service.client.post(f"/api/runs/{run}/cancel")
        assert (await service.wait_for_end(run))["steps"]["work"]["attempts"] == 1


EACH = """
steps:
  - id: each
    foreach: "[1, 2, 3, 4]"
    max_parallel: 2
    steps: [{id: work, use: gate.pass, with: {what: work, value: "{{ item }}"}}]
outputs: {attempts: "{{ steps.each.output | map(attribute='steps.work.attempts') | list }}"}
"""


async def test_each_item_of_a_foreach_has_its_own_attempts(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"p": EACH}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work", 2)
        place = copy_after_crash(tmp_path)
    gates.open("work")
    async with gates.serving(place, {"p": EACH}) as service:
        ended = await service.wait_for_end(run)
        assert ended["status"] == "completed"
        assert ended["outputs"] == {"attempts": [2, 2, 1, 1]}
        assert sorted(await _list_lost_attempts(service, run)) == [
            ("each[0].work", 1, "crash"),
            ("each[1].work", 1, "crash"),
        ]
    assert all(count <= 2 for count in Counter(gates.keys["work"]).values())


UNDO = """
steps:
  - {id: work, use: gate.pass, with: {what: work}, undo: {use: gate.pass, with: {what: back}}}
  - {id: fail, use: flow.fail, with: {message: "no"}}
on_failure:
  - {id: roll_back, use: flow.undo}
  - {id: tell, use: gate.pass, with: {what: tell, value: "{{ steps.work.attempts }}"}}
"""


@pytest.mark.parametrize(("closed", "path"), [("back", "work.undo"), ("tell", "tell")])
async def test_attempts_of_an_undo_and_of_the_cleanup_are_counted(tmp_path: Path, closed: str, path: str) -> None:
    gates = Gates()
    gates.close(closed)
    async with gates.serving(tmp_path, {"p": UNDO}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached(closed)
        place = copy_after_crash(tmp_path)
    gates.open(closed)
    async with gates.serving(place, {"p": UNDO}) as service:
        ended = await service.wait_for_end(run)
        assert await _list_lost_attempts(service, run) == [(path, 1, "crash")]
        assert {each: step["attempts"] for each, step in ended["steps"].items()} == {
            "work": 1,
            "fail": 1,
            "roll_back": 1,
            "work.undo": 1 + (path == "work.undo"),
            "tell": 1 + (path == "tell"),
        }
        assert [each["status"] for each in ended["undo"]] == ["done"]


@pytest.mark.parametrize("on_crash", ["retry", "park"])
async def test_a_run_cancelled_as_its_process_died_shows_the_lost_attempt(tmp_path: Path, on_crash: str) -> None:
    gates = Gates()
    gates.close("work")
    pipeline = ONE % f", on_crash: {on_crash}"
    async with gates.serving(tmp_path, {"p": pipeline}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        place = copy_after_crash(tmp_path)
    journal = await Journal.open(place / "data", node="another", on_fatal=_never)
    assert await journal.post(run, "cancel", NULL, 0) == "posted"
    await journal.close()
    async with gates.serving(place, {"p": pipeline}) as service:
        await until_status(service, run, "cancelled")  # parked, it is paused before the cancel is processed
        assert await _list_lost_attempts(service, run) == [("work", 1, "crash")]


def _never(error: BaseException) -> None:
    raise AssertionError(error)


BOTH = """
steps:
  - id: both
    parallel:
      one: [{id: work, use: gate.pass, with: {what: work}}, {id: next, use: gate.pass, with: {what: next}}]
      two: [{id: other, use: gate.pass, with: {what: other}, on_exhausted: pause, retry: {max_attempts: 1}}]
"""


async def test_a_paused_run_loses_only_started_attempts(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    gates.failures["other"] = 1
    async with gates.serving(tmp_path, {"p": BOTH}) as service:
        run = await begin(service, "p")
        await until_status(service, run, "paused")
        await gates.wait_until_reached("work")
        place = copy_after_crash(tmp_path)
    async with gates.serving(place, {"p": BOTH}) as service:
        await until_entry(service, run, "attempt_lost")
        found = await until_status(service, run, "paused")
        assert found["steps"]["both.work"]["attempts"] == 1, "nothing begins in a paused run"
        await until_out_of_memory(service, run)
        gates.open("work")
        await service.client.post(f"/api/runs/{run}/resolve", json={"step": "both.other", "verdict": "retry"})
        ended = await service.wait_for_end(run)
        assert ended["status"] == "completed"
        assert await _list_lost_attempts(service, run) == [("both.work", 1, "crash")]
        attempts = {path: step["attempts"] for path, step in ended["steps"].items() if "." in path}
        assert attempts == {"both.work": 2, "both.next": 1, "both.other": 2}


CALLS = """
steps:
  - {id: call, use: flow.call, with: {pipeline: child}}
  - {id: tell, use: flow.emit, with: {type: done}}
  - {id: rest, use: wait.delay, with: {for: 10ms}}
"""


async def test_calls_events_and_waits_are_not_attempts(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    pipelines = {"p": CALLS, "child": ONE % ""}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        place = copy_after_crash(tmp_path)
    gates.open("work")
    async with gates.serving(place, pipelines) as service:
        ended = await service.wait_for_end(run)
        assert await _list_lost_attempts(service, ended["children"][0]["run"]) == [("work", 1, "crash")]
    truncate_history(place, run, "wait_started")
    async with gates.serving(place, pipelines) as service:
        ended = await service.wait_for_end(run)
        assert "attempt_lost" not in await kinds(service, run)
        assert [step["attempts"] for step in ended["steps"].values()] == [1, 1, 1]
