"""Called runs: each is started once, its end is the end of the step, and a cancel reaches it."""

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

CHILD = """
inputs: {value: {}}
steps: [{id: work, use: gate.pass, with: {what: work, value: "{{ inputs.value }}"}}]
outputs: {value: "{{ steps.work.output.value }}"}
"""
FAILS = """
steps: [{id: no, use: flow.fail, with: {message: not today, code: tired}}]
"""
STOPS = """
steps: [{id: no, use: flow.stop, with: {status: cancelled, reason: enough}}]
"""
STRICT = """
inputs: {n: {type: integer}}
steps: [{id: work, use: gate.pass, with: {what: work}}]
"""
LONG = """
steps: [{id: later, use: wait.delay, with: {for: 1h}}]
"""
CALLS = """
inputs: {value: {type: string, default: small}}
steps:
  - {id: before, use: gate.pass, with: {what: before}}
  - {id: call, use: flow.call, with: {pipeline: child, inputs: {value: "{{ inputs.value }}"}}}
  - {id: after, use: gate.pass, with: {what: after}}
outputs: {value: "{{ steps.call.output.value }}"}
"""
DETACHES = """
steps:
  - {id: call, use: flow.call, with: {pipeline: child, inputs: {value: 1}, detach: true}}
outputs: {run: "{{ steps.call.output.run }}"}
"""
IMPATIENT = """
steps:
  - {id: call, use: flow.call, with: {pipeline: child}, timeout: 200ms}
"""
EACH = """
inputs: {numbers: {type: array}}
steps:
  - id: each
    foreach: inputs.numbers
    as: n
    max_parallel: 50
    steps: [{id: call, use: flow.call, with: {pipeline: child, inputs: {value: "{{ n }}"}}}]
outputs: {each: "{{ steps.each.output }}"}
"""
CIRCLE = """
steps: [{id: call, use: flow.call, with: {pipeline: circle}}]
"""


def _calling(pipeline: str, inputs: str = "{}") -> str:
    return f"steps: [{{id: call, use: flow.call, with: {{pipeline: {pipeline}, inputs: {inputs}}}}}]"


async def _child(service: Running, run: str) -> str:
    """The run that the step `call` called, once it has begun."""
    async with asyncio.timeout(60):
        while True:
            listed = (await service.client.get("/api/runs", params={"trigger": "call"})).json()["runs"]
            for each in listed:
                found = await service.run(each["id"])
                if found["parent"]["run"] == run:
                    return str(each["id"])
            await asyncio.sleep(0.005)


async def test_the_outputs_of_a_called_run_become_the_output_of_its_step_at_any_size(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"calls": CALLS, "child": CHILD}) as service:
        large = "x" * 100_000
        run = await service.wait_for_end(await begin(service, "calls", value=large))
        assert run["outputs"] == {"value": large}


@pytest.mark.parametrize(
    ("child", "error"),
    [
        (FAILS, {"code": "tired", "message": "not today"}),
        (STOPS, {"code": "child_cancelled"}),
        (STRICT, {"class": "invalid", "code": "inputs"}),
    ],
    ids=["failed", "cancelled", "unfit inputs"],
)
async def test_a_called_run_that_does_not_complete_fails_the_step(
    tmp_path: Path, child: str, error: dict[str, Any]
) -> None:
    async with Gates().serving(tmp_path, {"calls": _calling("child", "{}"), "child": child}) as service:
        run = await service.wait_for_end(await begin(service, "calls"))
    assert run["status"] == "failed"
    assert {name: run["error"][name] for name in error} == error


async def test_a_call_of_a_pipeline_no_longer_in_service_pauses_the_run_until_it_is_back(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.wait_until_reached("before")
    (tmp_path / "config" / "pipelines" / "child.yaml").unlink()
    gates.open("before")
    (tmp_path / "config" / "pipelines" / "calls.yaml").write_text(FAILS)
    async with gates.serving(tmp_path, {}) as service:
        paused = await until_status(service, run, "paused")
        assert "cannot continue with its recorded input: no pipeline 'child' is served" in paused["reason"]
    async with gates.serving(tmp_path, {"child": CHILD}) as service:
        await service.client.post(f"/api/runs/{run}/resume")
        await until_status(service, run, "completed")


async def test_recursive_calls_end_at_a_limit(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"circle": CIRCLE}) as service:
        run = await service.wait_for_end(await begin(service, "circle"))
    assert run["error"]["code"] == "too_deep"
    assert rows(tmp_path, "select count(*) from runs") == [(17,)]


async def test_a_detached_run_is_independent_of_its_caller(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"calls": DETACHES, "child": CHILD}) as service:
        run = await service.wait_for_end(await begin(service, "calls"))
        await gates.wait_until_reached("work")
        gates.open("work")
        assert (await service.wait_for_end(run["outputs"]["run"]))["status"] == "completed"


async def test_a_call_that_takes_too_long_fails_and_its_run_is_cancelled(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"calls": IMPATIENT, "child": LONG}) as service:
        run = await begin(service, "calls")
        child = await _child(service, run)
        assert (await service.wait_for_end(run))["error"]["code"] == "call_timeout"
        assert (await service.wait_for_end(child))["status"] == "cancelled"


@pytest.mark.slow
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_cancel_reaches_a_called_run_that_was_evicted(tmp_path: Path, is_restarted: bool) -> None:
    pipelines = {"calls": _calling("middle"), "middle": _calling("child"), "child": LONG}
    gates = Gates()
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        middle = await _child(service, run)
        child = await _child(service, middle)
        for each in (run, middle, child):
            await until_out_of_memory(service, each)
        if not is_restarted:
            await service.client.post(f"/api/runs/{run}/cancel")
            for each in (run, middle, child):
                assert (await service.wait_for_end(each))["status"] == "cancelled"
    if is_restarted:
        async with gates.serving(tmp_path, pipelines) as service:
            await service.client.post(f"/api/runs/{run}/cancel")
            for each in (run, middle, child):
                assert (await service.wait_for_end(each))["status"] == "cancelled"


async def test_a_run_is_called_once_even_if_the_process_dies_before_it_begins(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before", "work")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.wait_until_reached("before")
        service.service.runner.begin_draining()  # nothing more is started
        gates.open("before")
        await until_entry(service, run, "child_called")
        place = copy_after_crash(tmp_path)
    gates.open("work")
    async with gates.serving(place, pipelines) as service:
        assert (await service.wait_for_end(run))["outputs"] == {"value": "small"}
    assert gates.passed == ["before", "work", "after"]


async def test_a_run_is_called_once_even_if_the_process_dies_after_it_began(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.wait_until_reached("work")
        place = copy_after_crash(tmp_path)
    gates.open("work")
    async with gates.serving(place, pipelines) as service:
        assert (await service.wait_for_end(run))["outputs"] == {"value": "small"}
    assert rows(place, "select count(*) from runs") == [(2,)]
    assert gates.passed == ["before", "work", "after"]


async def test_the_end_of_a_called_run_reaches_its_caller_in_memory_or_not(tmp_path: Path) -> None:
    """The caller was evicted, was loaded again, or is being loaded."""
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"calls": CALLS, "child": CHILD}) as service:
        runs = [await begin(service, "calls") for _ in range(20)]
        await gates.wait_until_reached("work", 20)
        gates.open("work")
        adopted = asyncio.gather(*(service.service.runner.takeover.take_over(run) for run in runs))
        for run in runs:
            assert (await service.wait_for_end(run))["status"] == "completed"
        await adopted
    assert gates.passed.count("work") == gates.passed.count("after") == 20


async def test_a_run_that_ends_at_the_moment_of_its_call_leaves_nothing_behind(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before", "work")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.wait_until_reached("before")
        runner = service.service.runner
        gates.open("before")
        ending = asyncio.create_task(_cancelled_at_its_call(service, run))
        assert (await service.wait_for_end(run))["status"] == "cancelled"
        await ending
        runner_children = rows(tmp_path, "select id, status from runs where trigger = 'call'")
        for child, _ in runner_children:
            assert (await service.wait_for_end(child))["status"] == "cancelled"
        assert not runner.runs.by_id
    assert "after" not in gates.begun


async def _cancelled_at_its_call(service: Running, run: str) -> None:
    live = service.service.runner.runs.by_id[run]
    while "call" not in live.state.steps:
        await asyncio.sleep(0)
    await service.service.runner.cancel(run)


async def test_a_cancel_between_a_call_and_its_run_leaves_no_run_behind(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.wait_until_reached("before")
        service.service.runner.begin_draining()
        gates.open("before")
        await until_entry(service, run, "child_called")
        place = copy_after_crash(tmp_path)
    async with gates.serving(place, pipelines) as service:
        await service.service.runner.cancel(run)
        found = await service.wait_for_end(run)
        children = rows(place, "select id from runs where trigger = 'call'")
        for (child,) in children:
            await service.wait_for_end(child)
    assert found["status"] in ("cancelled", "completed")
    if found["status"] == "cancelled" and not children:
        assert "work" not in gates.begun


async def test_hundreds_of_runs_are_called_in_order_within_max_parallel(tmp_path: Path) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"each": EACH, "child": CHILD}) as service:
        run = await service.wait_for_end(await begin(service, "each", numbers=list(range(200))), within=60)
    assert [item["steps"]["call"]["output"]["value"] for item in run["outputs"]["each"]] == list(range(200))
    assert gates.most["work"] <= 50


async def test_runs_that_call_each_other_do_not_block_each_other_from_memory(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    async with gates.serving(tmp_path, {"calls": CALLS, "child": CHILD}, max_live_runs=5) as service:
        runs = [await begin(service, "calls") for _ in range(5)]
        await gates.wait_until_reached("before", 5)
        gates.open("before")
        for run in runs:
            assert (await service.wait_for_end(run))["status"] == "completed"


async def test_a_crash_during_many_calls_starts_no_run_twice(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"each": EACH, "child": CHILD}) as service:
        run = await begin(service, "each", numbers=list(range(80)))
        await gates.wait_until_reached("work", 30)
        place = copy_after_crash(tmp_path)
    gates.open("work")
    async with gates.serving(place, {"each": EACH, "child": CHILD}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"
    assert rows(place, "select count(*) from runs where trigger = 'call'") == [(80,)]
    assert len(gates.passed) == 80


async def test_a_caller_that_lost_its_last_entries_is_notified_of_the_end_again(tmp_path: Path) -> None:
    gates = Gates()
    pipelines = {"calls": CALLS, "child": CHILD}
    gates.close("work")
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        child = await _child(service, run)
        await gates.wait_until_reached("work")
        service.service.runner.begin_draining()
        gates.open("work")
        await until_status(service, child, "completed")
        place = copy_after_crash(tmp_path)
    async with gates.serving(place, pipelines) as service:
        found = await service.wait_for_end(run)
        assert found["outputs"] == {"value": "small"}
        assert "child_ended" in await kinds(service, run)
    assert gates.passed == ["before", "work", "after"]
