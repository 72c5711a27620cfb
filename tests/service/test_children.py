"""Runs that call runs: each is started once, its end is that of the step, and an end goes down."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.gates import Gates, begin, dead, kinds, rows, until_entry, until_out_of_memory, until_status
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
    """The run that `call` called, once it has begun."""
    async with asyncio.timeout(60):
        while True:
            listed = (await service.client.get("/api/runs", params={"trigger": "call"})).json()["runs"]
            for each in listed:
                found = await service.run(each["id"])
                if found["parent"]["run"] == run:
                    return str(each["id"])
            await asyncio.sleep(0.005)


async def test_the_outputs_of_a_called_run_are_those_of_the_step_however_large(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"calls": CALLS, "child": CHILD}) as service:
        large = "x" * 100_000
        run = await service.ended(await begin(service, "calls", value=large))
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
        run = await service.ended(await begin(service, "calls"))
    assert run["status"] == "failed"
    assert {name: run["error"][name] for name in error} == error


async def test_a_call_of_a_pipeline_that_is_no_more_served_fails_the_step(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.reached("before")
    (tmp_path / "config" / "pipelines" / "child.yaml").unlink()
    gates.open("before")
    (tmp_path / "config" / "pipelines" / "calls.yaml").write_text(FAILS)
    async with gates.serving(tmp_path, {}) as service:
        assert (await service.ended(run))["error"]["code"] == "no_pipeline"


async def test_calls_in_a_circle_end(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"circle": CIRCLE}) as service:
        run = await service.ended(await begin(service, "circle"))
    assert run["error"]["code"] == "too_deep"
    assert rows(tmp_path, "select count(*) from runs") == [(17,)]


async def test_a_detached_run_goes_its_own_way(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"calls": DETACHES, "child": CHILD}) as service:
        run = await service.ended(await begin(service, "calls"))
        await gates.reached("work")
        gates.open("work")
        assert (await service.ended(run["outputs"]["run"]))["status"] == "completed"


async def test_a_call_that_takes_too_long_fails_and_its_run_is_cancelled(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"calls": IMPATIENT, "child": LONG}) as service:
        run = await begin(service, "calls")
        child = await _child(service, run)
        assert (await service.ended(run))["error"]["code"] == "call_timeout"
        assert (await service.ended(child))["status"] == "cancelled"


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_cancel_goes_down_to_a_run_that_left_memory(tmp_path: Path, is_restarted: bool) -> None:
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
                assert (await service.ended(each))["status"] == "cancelled"
    if is_restarted:
        async with gates.serving(tmp_path, pipelines) as service:
            await service.client.post(f"/api/runs/{run}/cancel")
            for each in (run, middle, child):
                assert (await service.ended(each))["status"] == "cancelled"


async def test_a_run_is_called_once_though_the_process_dies_before_it_begins(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before", "work")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.reached("before")
        service.service.runner.begin_draining()  # nothing is started any more
        gates.open("before")
        await until_entry(service, run, "child_called")
        place = dead(tmp_path)
    gates.open("work")
    async with gates.serving(place, pipelines) as service:
        assert (await service.ended(run))["outputs"] == {"value": "small"}
    assert gates.passed == ["before", "work", "after"]


async def test_a_run_is_called_once_though_the_process_dies_after_it_has_begun(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.reached("work")
        place = dead(tmp_path)
    gates.open("work")
    async with gates.serving(place, pipelines) as service:
        assert (await service.ended(run))["outputs"] == {"value": "small"}
    assert rows(place, "select count(*) from runs") == [(2,)]
    assert gates.passed == ["before", "work", "after"]


async def test_the_end_of_a_called_run_finds_its_caller_wherever_it_is(tmp_path: Path) -> None:
    """Its caller left memory, was brought back, or is just being brought back."""
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"calls": CALLS, "child": CHILD}) as service:
        runs = [await begin(service, "calls") for _ in range(20)]
        await gates.reached("work", 20)
        gates.open("work")
        adopted = asyncio.gather(*(service.service.runner.takeover.adopt(run) for run in runs))
        for run in runs:
            assert (await service.ended(run))["status"] == "completed"
        await adopted
    assert gates.passed.count("work") == gates.passed.count("after") == 20


async def test_a_run_that_ends_in_the_moment_of_its_call_leaves_nothing_behind(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before", "work")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.reached("before")
        runner = service.service.runner
        gates.open("before")
        ending = asyncio.create_task(_cancelled_at_its_call(service, run))
        assert (await service.ended(run))["status"] == "cancelled"
        await ending
        runner_children = rows(tmp_path, "select id, status from runs where trigger = 'call'")
        for child, _ in runner_children:
            assert (await service.ended(child))["status"] == "cancelled"
        assert not runner.runs.runs
    assert "after" not in gates.begun


async def _cancelled_at_its_call(service: Running, run: str) -> None:
    live = service.service.runner.runs.runs[run]
    while "call" not in live.state.steps:
        await asyncio.sleep(0)
    await service.service.runner.cancel(run)


async def test_a_cancel_between_a_call_and_its_run_leaves_no_run_behind(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    pipelines = {"calls": CALLS, "child": CHILD}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        await gates.reached("before")
        service.service.runner.begin_draining()
        gates.open("before")
        await until_entry(service, run, "child_called")
        place = dead(tmp_path)
    async with gates.serving(place, pipelines) as service:
        await service.service.runner.cancel(run)
        found = await service.ended(run)
        children = rows(place, "select id from runs where trigger = 'call'")
        for (child,) in children:
            await service.ended(child)
    assert found["status"] in ("cancelled", "completed")
    if found["status"] == "cancelled" and not children:
        assert "work" not in gates.begun


async def test_hundreds_of_runs_are_called_so_many_at_once_and_in_order(tmp_path: Path) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"each": EACH, "child": CHILD}) as service:
        run = await service.ended(await begin(service, "each", numbers=list(range(200))), within=60)
    assert [item["steps"]["call"]["output"]["value"] for item in run["outputs"]["each"]] == list(range(200))
    assert gates.most["work"] <= 50


async def test_runs_that_call_each_other_never_shut_each_other_out_of_memory(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    async with gates.serving(tmp_path, {"calls": CALLS, "child": CHILD}, max_live_runs=5) as service:
        runs = [await begin(service, "calls") for _ in range(5)]
        await gates.reached("before", 5)
        gates.open("before")
        for run in runs:
            assert (await service.ended(run))["status"] == "completed"


async def test_a_crash_while_many_are_called_starts_none_of_them_twice(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("work")
    async with gates.serving(tmp_path, {"each": EACH, "child": CHILD}) as service:
        run = await begin(service, "each", numbers=list(range(80)))
        await gates.reached("work", 30)
        place = dead(tmp_path)
    gates.open("work")
    async with gates.serving(place, {"each": EACH, "child": CHILD}) as service:
        assert (await service.ended(run))["status"] == "completed"
    assert rows(place, "select count(*) from runs where trigger = 'call'") == [(80,)]
    assert len(gates.passed) == 80


async def test_a_caller_that_lost_its_last_entries_hears_of_the_end_again(tmp_path: Path) -> None:
    gates = Gates()
    pipelines = {"calls": CALLS, "child": CHILD}
    gates.close("work")
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "calls")
        child = await _child(service, run)
        await gates.reached("work")
        service.service.runner.begin_draining()
        gates.open("work")
        await until_status(service, child, "completed")
        place = dead(tmp_path)
    async with gates.serving(place, pipelines) as service:
        found = await service.ended(run)
        assert found["outputs"] == {"value": "small"}
        assert "child_ended" in await kinds(service, run)
    assert gates.passed == ["before", "work", "after"]
