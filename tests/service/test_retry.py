"""Retries in a whole service: the same run goes on, with the same keys, across crashes, slots, calls and waits."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from durable.journal.sqlite.files import FILE_NAME
from durable.messages import RetryMessage
from tests.service.gates import (
    Gates,
    begin,
    copy_after_crash,
    history,
    kinds,
    rows,
    until_entry,
    until_out_of_memory,
    until_status,
)
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

ONE_ATTEMPT = "defaults: {retry: {max_attempts: 1}}\n"
PLAIN = (
    ONE_ATTEMPT
    + """
steps:
  - {id: first, use: gate.pass, with: {what: first}}
  - {id: second, use: gate.pass, with: {what: second}}
on_failure:
  - {id: page, use: gate.pass, with: {what: page}}
"""
)
CALLS = (
    ONE_ATTEMPT
    + """
steps:
  - id: both
    parallel:
      left: [{id: call, use: flow.call, with: {pipeline: child}}]
      right: [{id: risky, use: gate.pass, with: {what: risky}}]
outputs: {got: "{{ steps.call.output.n }}"}
"""
)
CHILD = (
    ONE_ATTEMPT
    + """
steps:
  - {id: before, use: gate.pass, with: {what: before}}
  - {id: work, use: gate.pass, with: {what: work, value: 7}}
outputs: {n: "{{ steps.work.output.value }}"}
"""
)


async def _retry(service: Running, run: str, reason: str | None = "mended") -> httpx.Response:
    return await service.client.post(f"/api/runs/{run}/retry", json={"reason": reason})


async def _retry_and_wait(service: Running, run: str) -> dict[str, Any]:
    answer = await _retry(service, run)
    assert answer.status_code == 202, answer.text
    return await service.wait_for_end(run)


async def test_a_failed_run_goes_on_at_its_failed_step_with_the_same_key(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        assert (await service.wait_for_end(run))["status"] == "failed"
        answer = await _retry(service, run)
        assert answer.status_code == 202
        assert answer.json()["id"] == run
        found = await service.wait_for_end(run)
        assert found["status"] == "completed"
        assert found["error"] is None
        assert found["steps"]["second"]["attempts"] == 2
        assert "page" not in found["steps"], "its cleanup is void"
        retried = next(each for each in await history(service, run) if each.__struct_config__.tag == "run_retried")
        assert (retried.by, retried.reason) == ("admin", "mended")  # type: ignore[union-attr]
        again = await _retry(service, run)
        assert again.status_code == 409
        assert f"waypost rerun {run}" in again.json()["detail"]
    assert gates.begun == ["first", "second", "page", "second"]
    assert gates.keys["second"] == [f"{run}:second"] * 2


async def test_a_run_that_fails_again_performs_its_cleanup_again_with_another_key(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 3
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        assert (await service.wait_for_end(run))["status"] == "failed"
        for _ in range(2):
            assert (await _retry_and_wait(service, run))["status"] == "failed"
        assert (await _retry_and_wait(service, run))["status"] == "completed"
    assert gates.keys["page"] == [f"{run}:page", f"{run}:page[2]", f"{run}:page[3]"]
    assert set(gates.keys["second"]) == {f"{run}:second"}
    assert gates.begun.count("first") == 1


async def test_of_two_retries_at_once_one_wins(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    gates.close("second")
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("second")
        gates.open("second")
        await service.wait_for_end(run)
        gates.close("second")
        answers = await asyncio.gather(*(_retry(service, run) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
        await gates.wait_until_reached("second", 2)
        assert (await _retry(service, run)).status_code == 409
        gates.open("second")
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert (await kinds(service, run)).count("run_retried") == 1


async def test_a_crash_between_the_commit_of_a_retry_and_its_takeover_loses_nothing(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        await service.wait_for_end(run)
        await until_out_of_memory(service, run)
        journal = service.service.journal
        found = await journal.find_run(run)
        assert found
        assert await journal.reopen(run, found.sequence, RetryMessage("me", None), 1)
        after = copy_after_crash(tmp_path)
    async with gates.serving(after, {"p": PLAIN}) as service:
        await until_entry(service, run, "run_retried")
        assert (await service.wait_for_end(run))["status"] == "completed"
    assert rows(after, "select count(*) from inbox") == [(0,)]


async def test_a_crash_during_a_retried_attempt_repeats_it(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        await service.wait_for_end(run)
        gates.close("second")
        await _retry(service, run)
        await gates.wait_until_reached("second", 2)
        after = copy_after_crash(tmp_path)
    gates.closed.clear()
    async with gates.serving(after, {"p": PLAIN}) as service:
        found = await until_status(service, run, "completed")
        assert [each["ending"] for each in found["steps"]["second"]["tries"]] == ["answered", "lost", "completed"]
    assert set(gates.keys["second"]) == {f"{run}:second"}


async def test_a_run_that_is_retried_while_the_service_drains_goes_on_at_the_next_start(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        await service.wait_for_end(run)
        runner = service.service.runner
        runner.begin_draining()
        assert await runner.retry(run, by="me", reason=None) == ("retried", None)
        assert gates.begun.count("second") == 1
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        assert (await until_status(service, run, "completed"))["retried"]["by"] == "me"


async def test_a_retried_step_whose_connector_is_gone_pauses_its_run(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        await service.wait_for_end(run)
    async with running(tmp_path, {}) as service:
        assert (await _retry(service, run)).status_code == 202
        found = await until_status(service, run, "paused")
        assert "cannot continue with its recorded input" in found["reason"]


# -- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("[{id: no, use: flow.fail, with: {message: never}}]", "step no would fail in the same way"),
        ("[{id: a, use: gate.pass, with: {what: a, value: '{{ inputs.n.x }}'}}]", "step a would fail in the same way"),
        (
            "[{id: a, use: gate.pass, with: {what: a}, keep: '{{ output.none }}'}]",
            "step a would fail in the same way, without another attempt",
        ),
    ],
)
async def test_a_retry_that_would_fail_in_the_same_way_is_refused(tmp_path: Path, steps: str, expected: str) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"p": f"inputs: {{n: {{default: 1}}}}\nsteps: {steps}"}) as service:
        run = await begin(service, "p")
        assert (await service.wait_for_end(run))["status"] == "failed"
        answer = await _retry(service, run)
        assert answer.status_code == 409
        assert expected in answer.json()["detail"]
        assert f"waypost fork {run}" in answer.json()["detail"]
        assert (await service.run(run))["status"] == "failed"
        assert "run_retried" not in await kinds(service, run)


async def test_a_run_whose_effects_were_undone_is_not_retried(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    text = (
        ONE_ATTEMPT
        + """
steps:
  - {id: first, use: gate.pass, with: {what: first}, undo: {use: gate.pass, with: {what: back}}}
  - {id: second, use: gate.pass, with: {what: second}}
on_failure: [{id: undo, use: flow.undo}]
"""
    )
    async with gates.serving(tmp_path, {"p": text}) as service:
        run = await begin(service, "p")
        await service.wait_for_end(run)
        answer = await _retry(service, run)
        assert answer.status_code == 409
        assert "were undone" in answer.json()["detail"]


async def test_a_run_that_goes_on_or_does_not_exist_is_not_retried(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("first")
    async with gates.serving(tmp_path, {"p": PLAIN}) as service:
        run = await begin(service, "p")
        answer = await _retry(service, run)
        assert answer.status_code == 409
        assert "it is running" in answer.json()["detail"]
        assert (await _retry(service, f"{run[:-4]}0000")).status_code == 404
        gates.open("first")


async def test_a_retry_ends_the_pause_of_an_exhausted_step_but_not_of_an_uncertain_one(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures.update({"a": 1})
    gates.close("b")
    text = (
        ONE_ATTEMPT
        + """
steps:
  - {id: a, use: gate.pass, with: {what: a}, on_exhausted: pause}
  - {id: b, use: gate.pass, with: {what: b}, on_crash: park, timeout: 100ms}
"""
    )
    async with gates.serving(tmp_path, {"p": text}) as service:
        run = await begin(service, "p")
        await until_status(service, run, "paused")
        assert (await _retry(service, run)).status_code == 202
        found = await until_status(service, run, "paused")
        while "b" not in found["steps"] or found["status"] != "paused":
            found = await service.run(run)
        answer = await _retry(service, run)
        assert answer.status_code == 409
        assert f"waypost resolve {run} b" in answer.json()["detail"]


# -- other runs, slots and waits --------------------------------------------------------------------------------


async def test_a_called_run_is_retried_with_its_caller_whether_it_failed_or_was_cancelled(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["work"] = 1
    gates.close("risky")
    async with gates.serving(tmp_path, {"p": CALLS, "child": CHILD}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "child_ended")
        gates.open("risky")
        await service.wait_for_end(run)
        assert (await service.run(run))["status"] == "failed"
        gates.close("work")
        gates.failures["risky"] = 1
        found = await _retry_and_wait(service, run)
        child = found["children"][0]["run"]
        assert found["status"] == "failed", "the other branch failed, and cancelled the call"
        await until_status(service, child, "cancelled")
        gates.open("work")
        found = await _retry_and_wait(service, run)
        assert (found["status"], found["outputs"]) == ("completed", {"got": 7})
        assert [each["run"] for each in found["children"]] == [child]
        assert (await kinds(service, child)).count("run_retried") == 2
    assert gates.begun.count("before") == 1
    assert set(gates.keys["work"]) == {f"{child}:work"}


async def test_a_caller_gets_the_result_of_a_run_that_was_retried_by_itself(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["work"] = 1
    async with gates.serving(tmp_path, {"p": CALLS, "child": CHILD}) as service:
        run = await begin(service, "p")
        found = await service.wait_for_end(run)
        assert found["status"] == "failed"
        child = found["children"][0]["run"]
        assert (await _retry_and_wait(service, child))["status"] == "completed"
        assert (await service.run(run))["status"] == "failed", "its caller has ended"
        found = await _retry_and_wait(service, run)
        assert (found["status"], found["outputs"]) == ("completed", {"got": 7})
        assert (await kinds(service, child)).count("run_retried") == 1


async def test_a_call_that_never_started_its_run_starts_it(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    child = CHILD + "concurrency: {limit: 1, overflow: skip}\n"
    async with gates.serving(tmp_path, {"p": CALLS, "child": child}) as service:
        other = await begin(service, "child")
        await gates.wait_until_reached("before")
        run = await begin(service, "p")
        assert (await service.wait_for_end(run))["error"]["code"] == "skipped"
        gates.open("before")
        await service.wait_for_end(other)
        assert (await _retry_and_wait(service, run))["status"] == "completed"
    assert gates.begun.count("before") == 2


async def test_a_call_whose_run_was_removed_fails_again_and_says_so(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["work"] = 1
    async with gates.serving(tmp_path, {"p": CALLS, "child": CHILD}) as service:
        run = await begin(service, "p")
        child = (await service.wait_for_end(run))["children"][0]["run"]
        await until_out_of_memory(service, run)
        after = copy_after_crash(tmp_path)
    with closing(sqlite3.connect(after / "data" / FILE_NAME)) as database, database:
        database.execute("delete from runs where id = ?", [child])
    async with gates.serving(after, {"p": CALLS, "child": CHILD}) as service:
        found = await _retry_and_wait(service, run)
        assert found["error"]["code"] == "child_removed"
    assert gates.begun.count("before") == 1


async def test_a_retried_run_waits_for_its_slot_again(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["second"] = 1
    async with gates.serving(tmp_path, {"p": PLAIN + "concurrency: {limit: 1}\n"}) as service:
        run = await begin(service, "p")
        await service.wait_for_end(run)
        gates.close("second")
        other = await begin(service, "p")
        await gates.wait_until_reached("second", 2)
        assert (await _retry(service, run)).status_code == 202
        found = await until_status(service, run, "queued")
        assert rows(tmp_path, "select run, is_held from slots order by run") == [(run, 0), (other, 1)]
        assert found["finished_at"] is None
        gates.open("second")
        assert (await service.wait_for_end(other))["status"] == "completed"
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert rows(tmp_path, "select * from slots") == []


async def test_a_wait_that_timed_out_is_answered_after_a_retry(tmp_path: Path) -> None:
    text = """
steps:
  - {id: told, use: flow.emit, with: {type: told}}
  - {id: ask, use: wait.webhook, timeout: 100ms, on_timeout: fail}
  - {id: event, use: wait.event, with: {type: news, look_back: 1h}, timeout: 1h, on_timeout: fail}
"""
    gates = Gates()
    async with gates.serving(tmp_path, {"p": text}) as service:
        run = await begin(service, "p")
        assert (await service.wait_for_end(run))["status"] == "failed"
        await service.client.post("/api/events", json={"type": "news", "data": 1})
        while (await service.run(run))["status"] != "waiting":
            await _retry(service, run)
            await asyncio.sleep(0)
            answer = await service.client.post(f"/api/runs/{run}/answer", json={"step": "ask", "data": "yes"})
            if answer.status_code == 202:
                break
        found = await service.wait_for_end(run)
        assert found["status"] == "completed"
        assert found["steps"]["ask"]["output"]["body"] == "yes"
    assert rows(tmp_path, "select count(*) from events where type = 'told'") == [(1,)]
    assert rows(tmp_path, "select count(*) from claims where scope in ('flow', 'answer')") == [(0,)]
    assert rows(tmp_path, "select count(*) from heard") == [(0,)]
