"""Undo in a whole service: effects are undone in reverse order, each once, across retries and crashes."""

from pathlib import Path

import pytest

from tests.service.gates import Gates, begin, copy_after_crash, until_status
from tests.service.running import ENVIRONMENT, outside, running

pytestmark = pytest.mark.anyio

BIG = "x" * 50_000
FAILS = """
inputs: {big: {type: string, default: ""}}
defaults: {retry: {max_attempts: 2, min_delay: 1ms}}
steps:
  - id: one
    use: gate.pass
    with: {what: one, value: "{{ inputs.big }}1"}
    undo: {use: gate.pass, with: {what: undo_one, value: "{{ output.value }}"}}
  - id: two
    use: gate.pass
    with: {what: two, value: "{{ inputs.big }}2"}
    undo: {use: gate.pass, with: {what: undo_two, value: "{{ output.value }}"}}
  - {id: no, use: gate.pass, with: {what: "no"}}
on_failure:
  - {id: back, use: flow.undo}
  - {id: page, use: gate.pass, with: {what: page, value: "{{ steps.back.output }}"}}
"""
CATCHES = """
defaults: {retry: {max_attempts: 1}}
steps:
  - id: guarded
    try:
      - id: one
        use: gate.pass
        with: {what: one, value: 1}
        undo: {use: gate.pass, with: {what: undo_one, value: "{{ output.value }}"}}
      - {id: no, use: gate.pass, with: {what: "no"}}
    catch:
      - steps:
          - {id: back, use: flow.undo, with: {steps: [guarded]}}
outputs: {back: "{{ steps.back.output }}"}
"""
LEARNS = """
defaults: {retry: {max_attempts: 1}}
steps:
  - id: both
    parallel:
      left:
        - id: slow
          use: gate.pass
          with: {what: slow, value: learnt}
          undo: {use: gate.pass, with: {what: undo_slow, value: "{{ output.value }}"}}
          ON_CRASH
      right:
        - {id: no, use: gate.pass, with: {what: "no"}}
on_failure:
  - {id: back, use: flow.undo}
  - {id: page, use: gate.pass, with: {what: page, value: "{{ steps.back.output }}"}}
"""


@pytest.mark.parametrize("big", ["", BIG], ids=["small", "large"])
async def test_effects_are_undone_in_reverse_order_with_retries(tmp_path: Path, big: str) -> None:
    gates = Gates()
    gates.failures["no"] = 2
    gates.failures["undo_two"] = 1
    async with gates.serving(tmp_path, {"p": FAILS}) as service:
        run = await service.wait_for_end(await begin(service, "p", big=big))
    assert run["status"] == "failed"
    assert gates.passed == ["one", "two", "undo_two", "undo_one", "page"]
    assert gates.given[2:4] == [f"{big}2", f"{big}1"]
    assert len(set(gates.keys["undo_two"])) == 1, "each try has the same key"
    assert gates.given[-1] == {"undone": ["two", "one"], "not_undone": []}
    assert {undo["status"] for undo in run["undo"]} == {"done"}


async def test_an_undo_continues_after_a_crash(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["no"] = 2
    gates.close("undo_one")
    async with gates.serving(tmp_path, {"p": FAILS}) as service:
        run = await begin(service, "p", big=BIG)
        await gates.wait_until_reached("undo_one")
        place = copy_after_crash(tmp_path)
    gates.open("undo_one")
    async with gates.serving(place, {"p": FAILS}) as service:
        await service.wait_for_end(run)
    assert gates.passed == ["one", "two", "undo_two", "undo_one", "page"]
    assert len(set(gates.keys["undo_one"])) == 1
    assert gates.given[-1]["undone"] == ["two", "one"]


async def test_a_handler_undoes_the_effects_of_its_try(tmp_path: Path) -> None:
    gates = Gates()
    gates.failures["no"] = 1
    async with gates.serving(tmp_path, {"p": CATCHES}) as service:
        run = await service.wait_for_end(await begin(service, "p"))
    assert run["status"] == "completed"
    assert gates.passed == ["one", "undo_one"]
    assert run["outputs"]["back"]["undone"] == ["guarded.one"]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_the_output_of_an_interrupted_step_is_fetched_again_with_its_key(
    tmp_path: Path, is_restarted: bool
) -> None:
    gates, place = Gates(), tmp_path
    gates.close("slow", "no")
    gates.failures["no"] = 1
    text = LEARNS.replace("ON_CRASH", "")
    async with gates.serving(place, {"p": text}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("slow")
        gates.open("no")
        await gates.wait_until_reached("slow", 2)  # it is repeated to find out what has to be undone
        if is_restarted:
            place = copy_after_crash(tmp_path)
        else:
            gates.open("slow")
            await service.wait_for_end(run)
    if is_restarted:
        gates.open("slow")
        async with gates.serving(place, {"p": text}) as service:
            await service.wait_for_end(run)
    assert len(set(gates.keys["slow"])) == 1
    assert gates.passed == ["slow", "undo_slow", "page"]
    assert gates.given[-2:] == ["learnt", {"undone": ["both.slow"], "not_undone": []}]


async def test_an_effect_that_cannot_be_undone_stays_visible(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("slow", "no")
    gates.failures["no"] = 1
    async with gates.serving(tmp_path, {"p": LEARNS.replace("ON_CRASH", "on_crash: fail")}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("slow")
        await gates.wait_until_reached("no")
        gates.open("no")
        found = await until_status(service, run, "failed")
    assert gates.passed == ["page"]
    [left] = gates.given[-1]["not_undone"]
    assert left["step"] == "both.slow"
    assert [undo["status"] for undo in found["undo"]] == ["failed"]


# -- attempts with unknown endings -------------------------------------------------------------------------------------

HOLDS = """
steps:
  - id: hold
    use: http.post
    with: {url: "URL/holds", headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}}
    undo: {use: http.delete, with: {url: "URL/holds/{{ output.body.n }}"}}
on_failure: [{id: back, use: flow.undo}]
"""


async def test_an_interrupted_effect_whose_repetition_lacks_a_secret_waits_for_it(tmp_path: Path) -> None:
    known = ENVIRONMENT | {"WAYPOST_SECRET_TOKEN": "t"}
    async with outside() as world:
        pipelines = {"p": HOLDS.replace("URL", world.url)}
        world.hangs = 1
        async with running(tmp_path, pipelines, known, drain_timeout="0s") as service:
            run = (await service.start("p")).json()["id"]
            await world.arrived.wait()
            place = copy_after_crash(tmp_path)
        async with running(place, pipelines) as service:
            paused = await service.wait_for_end(run)
        assert (paused["status"], paused["error"]) == ("paused", None)
        assert "step hold cannot continue with its recorded input: secret TOKEN is not set" in paused["reason"]
        async with running(place, pipelines, known) as service:
            await service.client.post(f"/api/runs/{run}/resume")
            await until_status(service, run, "completed")
