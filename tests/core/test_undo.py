"""Undo: effects are reverted one by one, last first, each once."""

import pytest

from durable.effects import Perform
from durable.values import JSON
from tests.core.scripted import ScriptedRun

HOLDS = """
    steps:
      - id: reserve
        foreach: "[1, 2]"
        steps: [{id: hold, use: test.do, undo: {use: test.undo, with: {id: "{{ output.id }}", n: "{{ item }}"}}}]
      - {id: charge, use: test.do, undo: {use: test.undo}}
      - {id: ship, use: test.do}
    on_failure:
      - {id: roll_back, use: flow.undo}
"""


def _held(run: ScriptedRun) -> ScriptedRun:
    run.completes("reserve[0].hold", {"id": "h0"}).completes("reserve[1].hold", {"id": "h1"})
    return run.completes("charge")


def test_the_effects_of_a_failed_run_are_undone_in_reverse_order() -> None:
    run = _held(ScriptedRun(HOLDS)).fails("ship")
    assert run.asks(Perform) == ["charge.undo"]
    assert run.completes("charge.undo").asks(Perform) == ["reserve[1].hold.undo"]
    assert run["reserve[1].hold.undo"].input.load() == {"id": "h1", "n": 2}
    assert run.completes("reserve[1].hold.undo").asks(Perform) == ["reserve[0].hold.undo"]
    run.completes("reserve[0].hold.undo")
    assert run["roll_back"].output.load() == {
        "undone": ["charge", "reserve[1].hold", "reserve[0].hold"],
        "not_undone": [],
    }
    assert run.state.status == "failed"


def test_a_failed_undo_is_reported_and_the_others_continue() -> None:
    run = _held(ScriptedRun(HOLDS)).fails("ship").fails("charge.undo")
    assert run.asks(Perform) == ["reserve[1].hold.undo"]
    run.completes("reserve[1].hold.undo").completes("reserve[0].hold.undo")
    output = run["roll_back"].output.load()
    assert isinstance(output, dict)
    left = output["not_undone"]
    assert [each["step"] for each in left] == ["charge"]  # type: ignore[union-attr,call-overload,index]


def test_a_restart_continues_the_undo_in_progress() -> None:
    run = _held(ScriptedRun(HOLDS)).fails("ship").completes("charge.undo").crashes()
    assert run.asks(Perform) == ["reserve[1].hold.undo"]


def test_a_named_undo_reverts_the_effects_inside_its_block() -> None:
    run = ScriptedRun("""
        steps:
          - {id: charge, use: test.do, undo: {use: test.undo}}
          - id: reserve
            foreach: "[1, 2]"
            steps: [{id: hold, use: test.do, undo: {use: test.undo}}]
          - {id: release, use: flow.undo, with: {steps: [reserve]}}
          - {id: again, use: flow.undo}
    """)
    run.completes("charge").completes("reserve[0].hold").completes("reserve[1].hold")
    assert run.asks(Perform) == ["reserve[1].hold.undo"]
    run.completes("reserve[1].hold.undo")
    assert run.completes("reserve[0].hold.undo").asks(Perform) == ["charge.undo"], "each effect once"
    run.completes("charge.undo")
    assert run.state.status == "completed"


UNKNOWN = """
    defaults: {retry: {max_attempts: 1}}
    steps:
      - {id: charge, use: test.do, on_crash: %s, undo: {use: test.undo, with: {id: "{{ output }}"}}}
    on_failure:
      - {id: roll_back, use: flow.undo}
"""


def test_the_output_of_an_uncertain_step_is_fetched_again_before_its_undo() -> None:
    run = ScriptedRun(UNKNOWN % "retry").fails("charge", ending="unknown")
    assert run.asks(Perform) == ["charge.again"]
    assert run.completes("charge.again", "c-1").asks(Perform) == ["charge.undo"]
    assert run["charge.undo"].input.load() == {"id": "c-1"}


def test_an_uncertain_step_that_must_not_be_repeated_is_not_undone_and_stays_visible() -> None:
    run = ScriptedRun(UNKNOWN % "fail").fails("charge", ending="unknown")
    assert run.state.status == "failed"
    assert run.state.undos["charge"].status == "failed"
    output: JSON = run["roll_back"].output.load()
    assert "it is not known" in str(output)


def test_two_simultaneous_undos_repeat_nothing_and_do_not_block_each_other() -> None:
    run = ScriptedRun("""
        defaults: {retry: {max_attempts: 1}}
        steps:
          - {id: a, use: test.do, undo: {use: test.undo}}
          - {id: b, use: test.do, undo: {use: test.undo}}
          - id: both
            parallel:
              left: [{id: first, use: flow.undo}]
              right: [{id: wait, use: test.do}, {id: second, use: flow.undo}]
          - {id: third, use: flow.undo}
    """)
    run.completes("a").completes("b").fails("b.undo")
    assert run.asks(Perform) == ["a.undo"]
    run.completes("both.wait")
    assert run["both.second"].output.load() == {"undone": [], "not_undone": []}, (
        "the first undo already covers everything"
    )
    assert run.completes("a.undo").asks(Perform) == ["b.undo[2]"], (
        "the failed undo is retried once the first one has ended"
    )
    run.completes("b.undo[2]")
    assert run["third"].output.load() == {"undone": ["b"], "not_undone": []}


@pytest.mark.parametrize("steps_before", range(6))
def test_a_second_undo_does_not_disturb_one_in_progress(steps_before: int) -> None:
    skipped = "".join(f"{{id: skip_{number}, if: 'false', use: test.do}}, " for number in range(steps_before))
    run = ScriptedRun(f"""
        steps:
          - id: all
            foreach: "[1, 2]"
            on_item_error: collect
            steps: [{{id: hold, use: test.do, undo: {{use: test.undo, with: {{id: "{{{{ output.id }}}}"}}}}}}]
          - {{id: go, use: test.do}}
          - id: both
            parallel:
              left: [{{id: first, use: flow.undo}}]
              right: [{skipped}{{id: second, use: flow.undo}}]
    """)
    run.completes("all[0].hold", {}).completes("all[1].hold", {}).completes("go")
    assert run.state.status == "completed"


@pytest.mark.parametrize("output", [None, 7, {}, "a long answer"])
def test_a_step_whose_output_fails_to_evaluate_is_undone(output: JSON) -> None:
    run = ScriptedRun("""
        steps:
          - {id: charge, use: test.do, keep: "{{ output.nobody }}", undo: {use: test.undo, with: {id: "{{ output }}"}}}
        on_failure: [{id: roll_back, use: flow.undo}]
    """).completes("charge", output)
    assert run.asks(Perform) == ["charge.undo"]
    assert run["charge.undo"].input.load() == {"id": output}
