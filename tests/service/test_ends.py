"""How runs end, pause and resume: in every state, with other branches in progress."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.gates import (
    Gates,
    begin,
    copy_after_crash,
    kinds,
    rows,
    until_entry,
    until_out_of_memory,
    until_status,
)
from tests.service.running import Running

pytestmark = pytest.mark.anyio

TWO = """
defaults: {retry: {max_attempts: 1}}
steps:
  - id: both
    parallel:
      left:
        - {id: risky, use: gate.pass, with: {what: risky}, on_crash: park, timeout: 100ms}
      right:
        - {id: slow, use: gate.pass, with: {what: slow}}
        - {id: next, use: gate.pass, with: {what: next}}
  - {id: last, use: gate.pass, with: {what: last}}
outputs: {risky: "{{ steps.risky.output }}"}
"""
FALLS = """
defaults: {retry: {max_attempts: 1}}
steps:
  - id: both
    parallel:
      left: [{id: risky, use: gate.pass, with: {what: risky}, on_exhausted: pause}]
      right: [{id: slow, use: gate.pass, with: {what: slow}}, {id: next, use: gate.pass, with: {what: next}}]
"""
CALLS_ON = """
defaults: {retry: {max_attempts: 1}}
steps:
  - id: both
    parallel:
      left: [{id: risky, use: gate.pass, with: {what: risky}, on_exhausted: pause}]
      right:
        - {id: slow, use: gate.pass, with: {what: slow}}
        - {id: call, use: flow.call, with: {pipeline: child}}
        - {id: tell, use: flow.emit, with: {type: told}}
"""
CHILD = """
steps: [{id: work, use: gate.pass, with: {what: work}}]
"""
CLEANS = """
defaults: {retry: {max_attempts: 1}}
steps:
  - id: guarded
    try:
      - {id: main, use: gate.pass, with: {what: main}}
    finally:
      - {id: tidy, use: gate.pass, with: {what: tidy}}
  - {id: after, use: gate.pass, with: {what: after}}
on_failure:
  - {id: page, use: gate.pass, with: {what: page}}
"""
TIMED = CLEANS + "timeout: 300ms\n"
WAITS = """
steps:
  - {id: wait, use: wait.delay, with: {for: 1h}}
on_failure:
  - {id: page, use: gate.pass, with: {what: page}}
"""


async def _resolve(service: Running, run: str, step: str, verdict: str, **more: Any) -> None:
    said = {"step": step, "verdict": verdict, **more}
    runner = service.service.runner
    assert await runner.resolve(run, said["step"], verdict, output=more.get("output"), by="me", reason=None)  # type: ignore[arg-type]


async def _cancel(service: Running, run: str) -> None:
    answer = await service.client.post(f"/api/runs/{run}/cancel", json={"reason": "enough"})
    assert answer.status_code == 202, answer.text


# -- paused -----------------------------------------------------------------------------------------------------


async def test_a_branch_that_ends_at_the_moment_of_a_pause_is_not_performed_again(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("risky", "slow")
    gates.failures["risky"] = 1
    async with gates.serving(tmp_path, {"p": FALLS}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("risky")
        await gates.wait_until_reached("slow")
        gates.open("risky", "slow")  # both end at the same moment, and one of them pauses the run
        await until_out_of_memory(service, run)
        assert (await service.run(run))["status"] == "paused"
        await _resolve(service, run, "both.risky", "completed")
        assert (await service.wait_for_end(run))["status"] == "completed"
    assert gates.passed.count("slow") == 1


@pytest.mark.parametrize("verdict", ["completed", "retry", "failed"])
@pytest.mark.parametrize("is_in_memory", [True, False])
async def test_a_person_resolves_an_uncertain_step(tmp_path: Path, verdict: str, is_in_memory: bool) -> None:
    gates = Gates()
    gates.close("risky", "slow")
    async with gates.serving(tmp_path, {"p": TWO}) as service:
        run = await begin(service, "p")
        found = await until_status(service, run, "paused")
        assert found["steps"]["both.risky"]["status"] == "uncertain"
        assert run in service.service.runner.runs.by_id, "the other branch is in progress"
        gates.open("risky")
        if not is_in_memory:
            gates.open("slow")
            await until_out_of_memory(service, run)
            assert "next" not in gates.begun, "nothing begins while it is paused"
        await _resolve(service, run, "both.risky", verdict, output={"value": "by hand"})
        if is_in_memory:
            await until_entry(service, run, "step_resolved")
            gates.open("slow")
        found = await service.wait_for_end(run)
    assert found["status"] == ("failed" if verdict == "failed" else "completed")
    assert gates.begun.count("risky") == (2 if verdict == "retry" else 1)
    if verdict == "failed":
        assert "next" not in gates.begun
    else:
        assert gates.passed.count("slow") == gates.passed.count("next") == 1
    if verdict == "completed":
        assert found["outputs"] == {"risky": {"value": "by hand"}}


@pytest.mark.parametrize(
    ("verdict", "status"), [("completed", "completed"), ("retry", "completed"), ("failed", "failed")]
)
async def test_a_person_resolves_a_step_that_used_up_its_attempts(tmp_path: Path, verdict: str, status: str) -> None:
    gates = Gates()
    gates.failures["risky"] = 1
    gates.close("slow")
    async with gates.serving(tmp_path, {"p": FALLS}) as service:
        run = await begin(service, "p")
        await until_status(service, run, "paused")
        place = copy_after_crash(tmp_path)
    gates.open("slow")
    async with gates.serving(place, {"p": FALLS}) as service:
        assert (await service.run(run))["status"] == "paused"
        await _resolve(service, run, "both.risky", verdict)
        assert (await service.wait_for_end(run))["status"] == status


async def test_a_paused_run_calls_and_sends_nothing_until_it_resumes(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("slow")
    gates.failures["risky"] = 1
    async with gates.serving(tmp_path, {"p": CALLS_ON, "child": CHILD}) as service:
        run = await begin(service, "p")
        await until_status(service, run, "paused")
        gates.open("slow")
        await until_out_of_memory(service, run)
        assert rows(tmp_path, "select * from runs where trigger = 'call'") == []
        await _resolve(service, run, "both.risky", "completed")
        assert (await service.wait_for_end(run))["status"] == "completed"
    assert gates.passed.count("work") == 1
    assert rows(tmp_path, "select count(*) from events where type = 'told'") == [(1,)]


async def test_a_paused_run_can_be_cancelled(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["risky"] = 1
    async with gates.serving(tmp_path, {"p": FALLS}) as service:
        run = await begin(service, "p")
        await until_status(service, run, "paused")
        await until_out_of_memory(service, run)
        await _cancel(service, run)
        assert (await service.wait_for_end(run))["status"] in ("cancelled", "paused")
        found = await until_status(service, run, "cancelled")
    assert found["reason"] == "enough"


# -- cancelled --------------------------------------------------------------------------------------------------


async def test_a_cancel_performs_only_finally(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("main")
    async with gates.serving(tmp_path, {"p": CLEANS}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("main")
        await _cancel(service, run)
        assert (await service.wait_for_end(run))["status"] == "cancelled"
    assert gates.passed == ["tidy"]


async def test_a_cancel_does_not_interrupt_a_finally_in_progress(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("tidy")
    async with gates.serving(tmp_path, {"p": CLEANS}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("tidy")
        await _cancel(service, run)
        await until_entry(service, run, "main_ending")
        place = copy_after_crash(tmp_path)
        gates.open("tidy")
        assert (await service.wait_for_end(run))["status"] == "cancelled"
        assert gates.passed == ["main", "tidy"]
    async with gates.serving(place, {"p": CLEANS}) as service:
        assert (await service.wait_for_end(run))["status"] == "cancelled"
    assert gates.passed == ["main", "tidy", "tidy"]
    assert gates.keys["tidy"][0] == gates.keys["tidy"][1]


async def test_a_cancel_does_not_interrupt_on_failure(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["main"] = 1
    gates.close("page")
    async with gates.serving(tmp_path, {"p": CLEANS}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("page")
        await _cancel(service, run)
        gates.open("page")
        assert (await service.wait_for_end(run))["status"] == "failed"
    assert gates.passed == ["tidy", "page"]


async def test_a_cancel_ends_a_wait_without_on_failure(tmp_path: Path) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"p": WAITS}) as service:
        run = await begin(service, "p")
        await until_out_of_memory(service, run)
        await _cancel(service, run)
        found = await service.wait_for_end(run)
    assert found["status"] == "cancelled"
    assert found["steps"]["wait"]["status"] == "cancelled"
    assert not gates.begun


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_run_that_times_out_is_cleaned_up(tmp_path: Path, is_restarted: bool) -> None:
    gates = Gates()
    gates.close("main")
    async with gates.serving(tmp_path, {"p": TIMED}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("main")
        place = copy_after_crash(tmp_path) if is_restarted else tmp_path
        if not is_restarted:
            found = await service.wait_for_end(run)
    if is_restarted:
        await asyncio.sleep(0.3)
        async with gates.serving(place, {"p": TIMED}) as service:
            found = await service.wait_for_end(run)
    assert found["error"]["code"] == "run_timeout"
    assert gates.passed == ["tidy", "page"]
    assert "after" not in gates.begun


async def test_a_run_recovered_too_often_continues_when_a_person_resumes_it(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("main")
    async with gates.serving(tmp_path, {"p": CLEANS}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("main")
        place = copy_after_crash(tmp_path)
    _set_recoveries(place, run, 9)
    async with gates.serving(place, {"p": CLEANS}) as service:
        await until_status(service, run, "paused")
        gates.open("main")
        assert gates.begun.count("main") == 1
        assert await service.service.runner.resume(run, "me")
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert "run_resumed" in await kinds(service, run)
    assert gates.begun.count("main") == 2


def _set_recoveries(place: Path, run: str, times: int) -> None:
    import sqlite3

    with sqlite3.connect(place / "data" / "journal.sqlite") as database:
        database.execute("update runs set recoveries = ? where id = ?", [times, run])
    database.close()
