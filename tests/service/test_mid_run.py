"""While a run is in the middle of a construct, the file of its pipeline is edited, renamed or deleted, or a connector
gets another version, and the process is killed: the run ends as it would have.

Each construct of the language is caught in the middle: at the step `mid`, which is held back, or in its wait. What the
run is compared with is a run of the same pipeline that nothing disturbs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from durable.action import Connector, Context, Inputs, action
from tests.service.gates import Gates, begin, copy_after_crash, until_status
from tests.service.running import Running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MID = "id: mid, use: gate.pass, with: {what: mid, value: 7}"
AFTER = 'id: after, use: gate.pass, with: {what: after, value: "{{ inputs.n }}"}'
HEAD = "inputs: {n: {type: integer, default: 3}}\n"

_CONSTRUCTS = """
=== action
steps: [{MID}, {AFTER}]
outputs: {a: '{{ steps.mid.output.value + inputs.n }}'}
=== keep
steps:
  - {MID, keep: {v: '{{ output.value * 2 }}'}}
  - {AFTER}
outputs: {a: '{{ steps.mid.output.v }}'}
=== condition
steps:
  - {MID}
  - {AFTER, if: steps.mid.output.value == 7}
  - {id: never, if: steps.mid.output.value == 8, use: flow.fail, with: {message: no}}
=== switch
steps:
  - id: route
    switch: [{when: inputs.n == 3, steps: [{MID}, {AFTER}]}]
    else: [{id: other, use: flow.fail, with: {message: no}}]
=== foreach
steps:
  - id: each
    foreach: '[1, 2, 3]'
    as: i
    max_parallel: 2
    steps:
      - {MID}
      - {AFTER}
outputs: {a: '{{ steps.each.output | length }}'}
=== collected
steps:
  - id: each
    foreach: '[1, 2, 3]'
    as: i
    on_item_error: collect
    steps:
      - {MID}
      - {id: no, if: i == 2, use: flow.fail, with: {message: no}}
  - {AFTER}
=== parallel
steps:
  - id: both
    parallel:
      a: [{MID}]
      b: [{id: beside, use: gate.pass, with: {what: beside}}]
  - {AFTER}
=== try
steps:
  - id: guard
    try:
      - {MID}
      - {id: no, use: flow.fail, with: {message: no}}
    catch: [{steps: [{AFTER}]}]
    finally: [{id: last, use: gate.pass, with: {what: last}}]
=== catch
steps:
  - id: guard
    try: [{id: no, use: flow.fail, with: {message: no, code: why}}]
    catch: [{steps: [{MID}]}]
    finally: [{id: last, use: gate.pass, with: {what: last}}]
  - {AFTER}
=== finally
steps:
  - id: guard
    try: [{id: one, use: gate.pass, with: {what: one}}]
    finally: [{MID}]
  - {AFTER}
=== repeat
steps:
  - id: again
    repeat: {until: index >= 2, max_times: 5}
    steps: [{MID}]
  - {AFTER}
=== on_failure
steps: [{id: no, use: flow.fail, with: {message: no}}]
on_failure: [{MID}, {AFTER}]
=== undo
steps:
  - id: one
    use: gate.pass
    with: {what: one}
    undo: {use: gate.pass, with: {what: undone, value: '{{ output.value }}'}}
  - {MID}
  - {id: no, use: flow.fail, with: {message: no}}
on_failure: [{id: back, use: flow.undo}]
=== stop
steps:
  - {MID}
  - {id: end, use: flow.stop, with: {status: completed, reason: enough}}
  - {AFTER}
=== respond
steps:
  - {MID}
  - {id: told, use: flow.respond, with: {status: 201, body: {a: 1}}}
  - {AFTER}
=== emit
steps:
  - {MID}
  - {id: tell, use: flow.emit, with: {type: mid.told, data: 1}}
  - {AFTER}
=== call
steps:
  - {id: call, use: flow.call, with: {pipeline: child, inputs: {n: '{{ inputs.n }}'}}}
  - {AFTER}
outputs: {a: '{{ steps.call.output.a }}'}
=== detached
steps:
  - {id: call, use: flow.call, with: {pipeline: child, inputs: {n: 4}, detach: true}}
  - {MID}
  - {AFTER}
=== concurrency
concurrency: {limit: 1}
steps: [{MID}, {AFTER}]
=== timeout
timeout: 1h
defaults: {timeout: 5m, retry: {max_attempts: 2}}
steps: [{MID}, {AFTER}]
=== delay
steps: [{id: pause, use: wait.delay, with: {for: 1s}}, {AFTER}]
=== webhook
steps:
  - {id: wait, use: wait.webhook, timeout: 1h, on_timeout: fail}
  - {AFTER}
outputs: {a: '{{ steps.wait.output.body }}'}
=== approval
steps:
  - {id: wait, use: wait.approval, with: {to: ops, title: Go}, timeout: 1h, on_timeout: fail}
  - {AFTER}
outputs: {a: '{{ steps.wait.output.approved }}'}
=== event
steps:
  - {id: wait, use: wait.event, with: {type: go}, timeout: 1h, on_timeout: fail}
  - {AFTER}
outputs: {a: '{{ steps.wait.output.data }}'}
=== any
steps:
  - id: wait
    use: wait.any
    with: {waits: {a: {use: wait.approval, with: {to: ops, title: Go}},
      b: {use: wait.delay, with: {for: 1h}}}}
  - {AFTER}
=== on_timeout
steps:
  - id: wait
    use: wait.webhook
    timeout: 1s
    on_timeout: [{id: late, use: gate.pass, with: {what: late}}]
  - {AFTER}
"""


def _expand(text: str) -> str:
    """A pipeline with its steps `mid` and `after`, which stand as {MID} and {AFTER}."""
    return HEAD + text.replace("{MID", f"{{{MID}").replace("{AFTER", f"{{{AFTER}")


CONSTRUCTS = {name: _expand(text) for name, _, text in (part.partition("\n") for part in _CONSTRUCTS.split("=== ")[1:])}
CHILD = _expand("steps: [{MID}]\noutputs: {a: '{{ steps.mid.output.value * inputs.n }}'}\n")
EDITED = (
    f"{HEAD}steps: [{{id: other, use: gate.pass, with: {{what: other}}}}, {{id: mid, use: flow.stop, with: {{}}}}]\n"
)
WAITS = ("delay", "webhook", "approval", "event", "any", "on_timeout")


class PassingNow(Inputs):
    """The inputs of the connector's next version: a new one, and one that takes less."""

    what: str = Field(pattern="^[a-z]+$")
    value: int | None = None
    more: str = "new"


class NewGates(Gates):
    """The same gates as another version of their connector."""

    def __init__(self) -> None:
        super().__init__()
        self.connector = Connector("gate", "The next version.", (action("pass", input=PassingNow)(self._pass_now),))

    async def _pass_now(self, context: Context, input: PassingNow, /) -> Any:
        """Pass a gate."""
        return await self._perform(context, input)  # type: ignore[arg-type]  # it reads `what` and `value`


CHANGES = ("edited", "renamed", "deleted", "upgraded")


def _change(change: str, pipelines: Mapping[str, str]) -> dict[str, str]:
    match change:
        case "edited":
            return dict.fromkeys(pipelines, EDITED)
        case "renamed":
            return {
                f"{name}_renamed": text.replace("pipeline: child", "pipeline: child_renamed")
                for name, text in pipelines.items()
            }
        case "deleted":
            return {}
    return dict(pipelines)


async def _reach_the_middle(service: Running, gates: Gates, name: str) -> str:
    """Start the run, and return when it is in the middle of its construct."""
    if name == "concurrency":
        await begin(service, name)
    run = await begin(service, name)
    if name in WAITS:
        await until_status(service, run, "waiting")
    elif name == "concurrency":
        await until_status(service, run, "queued")
    else:
        await gates.wait_until_reached("mid")
    return run


async def _finish(service: Running, name: str, run: str) -> dict[str, Any]:
    """Answer what the run waits for, and return how it ended: its status, its outputs, and every step's."""
    step = f"/api/runs/{run}/answer"
    match name:
        case "webhook":
            await service.client.post(step, json={"step": "wait", "data": {"x": 1}})
        case "approval":
            await service.client.post(step, json={"step": "wait", "approved": True})
        case "any":
            await service.client.post(step, json={"step": "wait", "name": "a", "approved": True})
        case "event":
            await service.client.post("/api/events", json={"type": "go", "data": [1, 2]})
    await service.wait_for_end(run)
    state = await service.service.journal.load_state(run)
    assert state.finished
    outputs = state.main.outputs.load() if state.main else None
    statuses = {path: each.status for path, each in state.steps.items()}
    values = {path: each.output.load() for path, each in state.steps.items() if each.output.size < 1_000}
    hidden = {"tell", "call"} if name in ("emit", "detached") else set()  # these have ids of events and runs
    shown = {path: _without_times(value) for path, value in values.items() if path not in hidden}
    error = state.error and (state.error.error_class, state.error.code, state.error.message, state.error.step)
    return {
        "status": state.status,
        "outputs": _without_times(outputs),
        "error": error,
        "steps": statuses,
        "values": shown,
        "reason": state.finished.status,
    }


def _without_times(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_times(each) for name, each in value.items() if name not in ("at", "id", "time")}
        case list():
            return [_without_times(each) for each in value]
    return value


def _pipelines(name: str) -> dict[str, str]:
    more = {"child": CHILD} if name in ("call", "detached") else {}
    return {name: CONSTRUCTS[name], **more}


async def _run_undisturbed(place: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    gates = Gates()
    gates.close("mid")
    async with gates.serving(place, _pipelines(name)) as service:
        run = await _reach_the_middle(service, gates, name)
        gates.open("mid")
        return await _finish(service, name, run), sorted(gates.passed)


@pytest.mark.parametrize("name", CONSTRUCTS)
async def test_a_run_ends_as_it_would_have(tmp_path: Path, name: str) -> None:
    expected, effects = await _run_undisturbed(tmp_path / "undisturbed", name)
    for change in CHANGES:
        before, pipelines = Gates(), _pipelines(name)
        before.close("mid")
        first = tmp_path / change
        async with before.serving(first, pipelines) as service:
            run = await _reach_the_middle(service, before, name)
            for path in (first / "config" / "pipelines").iterdir():
                path.unlink()
            for file, text in _change(change, pipelines).items():
                (first / "config" / "pipelines" / f"{file}.yaml").write_text(text)
            await service.service.reload.reload()
            place = copy_after_crash(first)
        after = NewGates() if change == "upgraded" else Gates()
        async with after.serving(place, _change(change, pipelines)) as service:
            assert await _finish(service, name, run) == expected, change
        assert sorted(before.passed + after.passed) == effects, change


@pytest.mark.parametrize("name", [name for name in CONSTRUCTS if name not in WAITS and name != "concurrency"])
async def test_a_run_that_is_not_killed_ends_as_it_would_have(tmp_path: Path, name: str) -> None:
    expected, effects = await _run_undisturbed(tmp_path / "undisturbed", name)
    for change in ("edited", "renamed", "deleted"):
        gates, pipelines = Gates(), _pipelines(name)
        gates.close("mid")
        place = tmp_path / change
        async with gates.serving(place, pipelines) as service:
            run = await _reach_the_middle(service, gates, name)
            for path in (place / "config" / "pipelines").iterdir():
                path.unlink()
            for file, text in _change(change, pipelines).items():
                (place / "config" / "pipelines" / f"{file}.yaml").write_text(text)
            await service.service.reload.reload()
            gates.open("mid")
            assert await _finish(service, name, run) == expected, change
            assert sorted(gates.passed) == effects, change
