"""A service stopped with runs in every state: nothing is lost, and no task survives."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from tests.service.gates import Gates, begin, rows, until_entry

pytestmark = pytest.mark.anyio

BUSY = """
inputs: {numbers: {type: array}}
steps:
  - id: each
    foreach: inputs.numbers
    as: n
    max_parallel: 30
    steps:
      - {id: soon, use: wait.delay, with: {for: 5ms}}
      - {id: call, use: flow.call, with: {pipeline: child, inputs: {n: "{{ n }}"}}}
      - {id: tell, use: flow.emit, with: {type: done, subject: "{{ n }}"}}
      - id: first
        use: wait.any
        with: {waits: {no: {use: wait.webhook}, yes: {use: wait.delay, with: {for: 20ms}}}}
        timeout: 1h
        on_timeout: fail
"""
CHILD = """
inputs: {n: {type: integer}}
concurrency: {limit: 10}
steps: [{id: work, use: gate.pass, with: {what: work, value: "{{ inputs.n }}"}}]
"""
LISTENS = """
triggers: [{id: done, use: event, with: {type: done}}]
steps: [{id: note, use: gate.pass, with: {what: note}}]
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", ["branch_started", "child_called", "child_ended", "signal_received"])
async def test_a_service_stopped_with_runs_in_every_state_continues_them_after_a_restart(
    tmp_path: Path, after: str, caplog: pytest.LogCaptureFixture
) -> None:
    strange: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: strange.append(context))
    gates = Gates()
    pipelines = {"p": BUSY, "child": CHILD, "listens": LISTENS}
    before = asyncio.all_tasks()
    kind = {"signal_received": "step_completed"}.get(after, after)
    async with gates.serving(tmp_path, pipelines, drain_timeout="2s") as service:
        run = await begin(service, "p", numbers=list(range(60)))
        await until_entry(service, run, kind, 20)
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert not left, left
    async with gates.serving(tmp_path, pipelines, drain_timeout="2s") as service:
        assert (await service.wait_for_end(run))["status"] == "completed"
        async with asyncio.timeout(60):
            while rows(tmp_path, "select count(*) from runs where finished_at is null") != [(0,)]:
                await asyncio.sleep(0.02)
        assert not service.service.runner.runs.by_id
        assert not service.service.runner.runs.retries.runs
    assert sorted(value for value in gates.given if value is not None) == list(range(60))
    assert gates.passed.count("note") == 60
    assert gates.most["work"] <= 10
    assert rows(tmp_path, "select run from slots") == rows(tmp_path, "select run from inbox") == []
    gc.collect()
    await asyncio.sleep(0)
    assert not strange, strange
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


CALLS = """
steps:
  - {id: before, use: gate.pass, with: {what: before}}
  - {id: call, use: flow.call, with: {pipeline: child}}
"""
CALLED = "steps: [{id: work, use: gate.pass, with: {what: work}}]"


async def test_a_run_that_reaches_a_call_during_a_drain_continues_at_the_next_start(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    async with gates.serving(tmp_path, {"calls": CALLS, "child": CALLED}, drain_timeout="5s") as service:
        run = await begin(service, "calls")
        await gates.wait_until_reached("before")
        asyncio.get_running_loop().call_later(0.5, gates.open, "before")  # its attempt ends while the service drains
    async with gates.serving(tmp_path, {"calls": CALLS, "child": CALLED}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"


async def test_an_attempt_counts_as_in_flight_while_its_action_works(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    steps = "steps: [{id: work, use: gate.pass, with: {what: work}}]\n"
    async with gates.serving(tmp_path, {"p": steps}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("work")
        assert "waypost_attempts_in_flight 1.0" in (await service.client.get("/metrics")).text
        gates.open("work")
        await service.wait_for_end(run)
        assert "waypost_attempts_in_flight 0.0" in (await service.client.get("/metrics")).text
