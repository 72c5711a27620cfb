"""Blocks: which branch is performed, and how the end of a branch affects its block."""

import msgspec
import pytest

from durable.blocks.block import end_now, merge_tables
from durable.blocks.kinds import EVERY_KIND
from durable.blocks.loops import BURST
from durable.definition import Definition
from durable.effects import Abandon, Perform, Wake
from durable.history.entries import BlockStarted, StepResolved
from durable.history.state import State
from durable.replay import apply_entry
from durable.scope import RunScope
from tests.core.replaying import check_decisions
from tests.core.scripted import RUN, ScriptedRun


def test_a_switch_performs_the_first_matching_case() -> None:
    run = ScriptedRun(
        """
        inputs: {kind: {}}
        steps:
          - id: route
            switch:
              - {when: "inputs.kind == 'digital'", steps: [{id: licence, use: test.do}]}
              - {when: "true", steps: [{id: parcel, use: test.do}]}
            else: [{id: refuse, use: test.do}]
        """,
        inputs={"kind": "book"},
    )
    assert run.story == ["block_started route", "branch_started route 'case 2'", "step_scheduled route.parcel"]
    assert run.completes("route.parcel").new == [
        "step_completed route.parcel",
        "branch_ended route 'case 2' completed",
        "step_completed route",
        "main_ended completed",
        "run_finished completed",
    ]


def test_a_switch_without_a_match_or_an_else_completes() -> None:
    run = ScriptedRun("""
        steps:
          - id: route
            switch: [{when: "false", steps: [{id: never, use: test.do}]}]
    """)
    assert run.state.status == "completed"
    assert "never" not in str(run.story)


def test_a_foreach_runs_at_most_max_parallel_items_and_outputs_them_in_order() -> None:
    run = ScriptedRun(
        """
        inputs: {lines: {}}
        steps:
          - id: all
            foreach: inputs.lines
            as: line
            max_parallel: 2
            steps: [{id: one, use: test.do, with: {n: "{{ line }}", place: "{{ index }}"}}]
          - {id: after, use: test.do, with: {all: "{{ steps.all.output }}"}}
        """,
        inputs={"lines": ["a", "b", "c"]},
    )
    assert run.asks(Perform) == ["all[0].one", "all[1].one"]
    run.completes("all[1].one", "second")
    assert run.asks(Perform) == ["all[2].one"]
    assert run["all[2].one"].input.load() == {"n": "c", "place": 2}
    run.completes("all[2].one", "third").completes("all[0].one", "first")
    given = run["after"].input.load()
    assert isinstance(given, dict)
    items = given["all"]
    assert isinstance(items, list)
    assert [item["steps"]["one"]["output"] for item in items] == ["first", "second", "third"]  # type: ignore[index,call-overload]


def test_the_first_failed_item_ends_a_foreach() -> None:
    run = ScriptedRun("""
        steps:
          - id: all
            foreach: "[1, 2, 3]"
            max_parallel: 2
            steps: [{id: one, use: test.do}]
    """)
    assert run.fails("all[0].one").new == [
        "attempt_failed all[0].one",
        "step_failed all[0].one",
        "branch_ended all[0] failed",
        "branches_cancelled all",
        "step_cancelled all[1].one",
        "branch_ended all[1] cancelled",
        "step_failed all",
        "main_ended failed",
        "run_finished failed",
    ]
    assert run.asks(Abandon) == ["all[1].one"]


def test_a_foreach_that_collects_continues_after_a_failure() -> None:
    run = ScriptedRun("""
        steps:
          - id: all
            foreach: "[1, 2]"
            on_item_error: collect
            steps: [{id: one, use: test.do}]
          - {id: after, use: test.do}
    """)
    run.fails("all[0].one").completes("all[1].one")
    assert run.asks(Perform) == ["after"]
    output = RunScope(run.definition, run.state)["steps"]["all"]["output"]  # type: ignore[index]
    assert [item["status"] for item in output] == ["failed", "completed"]


def test_a_failure_in_one_branch_cancels_the_others() -> None:
    run = ScriptedRun("""
        steps:
          - id: both
            parallel:
              left: [{id: a, use: test.do}, {id: never, use: test.do}]
              right: [{id: b, use: test.do}]
    """)
    assert run.asks(Perform) == ["both.a", "both.b"]
    assert run.fails("both.b").new[2:] == [
        "branch_ended both 'right' failed",
        "branches_cancelled both",
        "step_cancelled both.a",
        "branch_ended both 'left' cancelled",
        "step_failed both",
        "main_ended failed",
        "run_finished failed",
    ]


def test_branches_may_finish_before_a_failure_takes_effect() -> None:
    run = ScriptedRun("""
        steps:
          - id: both
            on_branch_error: finish
            parallel:
              left: [{id: a, use: test.do}, {id: then, use: test.do}]
              right: [{id: b, use: test.do}]
    """)
    run.fails("both.b").completes("both.a")
    assert run.asks(Perform) == ["both.then"]
    run.completes("both.then")
    assert run.state.status == "failed"
    assert run.state.error
    assert run.state.error.step == "both.b"


def test_nothing_begins_in_a_block_ended_by_a_simultaneous_failure() -> None:
    """The inner step was decided before the failure was known to end its block."""
    run = ScriptedRun("""
        steps:
          - id: both
            parallel:
              left: [{id: inner, parallel: {one: [{id: a, use: test.do}], two: [{id: b, use: test.do}]}}]
              right: [{id: halt, use: flow.fail, with: {message: no}}]
    """)
    assert run.state.status == "failed"
    assert run["both.inner"].status == "cancelled"
    under_way = set(run.asks(Perform)) - set(run.asks(Abandon))
    assert not under_way


def test_two_simultaneous_failures_end_their_block_once() -> None:
    run = ScriptedRun("""
        steps:
          - id: three
            parallel:
              a: [{id: no_a, use: flow.fail, with: {message: a}}]
              b: [{id: no_b, use: flow.fail, with: {message: b}}]
              c: [{id: work, use: test.do}]
    """)
    assert run.story.count("step_failed three") == 1
    assert run.story.count("step_cancelled three.work") == 1
    assert run.story.count("branch_ended three 'c' cancelled") == 1
    assert run.state.error
    assert run.state.error.message == "a"


def test_a_failure_runs_the_first_matching_handler_and_then_finally() -> None:
    run = ScriptedRun("""
        steps:
          - id: pay
            try: [{id: charge, use: test.do}]
            catch:
              - {when: "error.code == 'other'", steps: [{id: never, use: test.do}]}
              - steps: [{id: note, use: test.do, with: {why: "{{ error.message }}"}}]
            finally: [{id: audit, use: test.do}]
          - {id: after, use: test.do}
    """)
    run.fails("pay.charge")
    assert run["pay.note"].input.load() == {"why": "it failed"}
    assert run.completes("pay.note").asks(Perform) == ["pay.audit"]
    assert run.completes("pay.audit").asks(Perform) == ["after"]
    assert run["pay"].status == "completed"


def test_an_unhandled_failure_is_passed_on_after_finally() -> None:
    run = ScriptedRun("""
        steps:
          - id: pay
            try: [{id: charge, use: test.do}]
            finally: [{id: audit, use: test.do}]
    """)
    assert run.fails("pay.charge").asks(Perform) == ["pay.audit"]
    run.completes("pay.audit")
    assert run.state.status == "failed"
    assert run.state.error
    assert run.state.error.step == "pay.charge"


def test_a_handler_with_a_failing_condition_fails_the_try_and_is_not_performed() -> None:
    run = ScriptedRun("""
        steps:
          - id: pay
            try: [{id: charge, use: test.do}]
            catch: [{when: "error.details.reason == 1", steps: [{id: note, use: test.do}]}]
            finally: [{id: audit, use: test.do}]
    """)
    assert run.fails("pay.charge").new[2:] == [
        "branch_ended pay 'try' failed",
        "branch_started pay 'catch 1'",
        "branch_ended pay 'catch 1' failed",
        "branch_started pay 'finally'",
        "step_scheduled pay.audit",
    ]


def test_a_repeat_runs_until_its_condition_is_true_and_keeps_its_interval() -> None:
    run = ScriptedRun("""
        steps:
          - id: settled
            repeat: {until: "steps.status.output == 'settled'", every: 30s}
            steps: [{id: status, use: test.do}]
          - {id: after, use: test.do, with: {last: "{{ steps.settled.output.status.output }}"}}
    """)
    begun = run.now
    run.now += 10_000
    run.completes("settled[0].status", "pending")
    assert run.asked == [Wake("settled", begun + 30_000)]
    assert run.state.status == "waiting"
    assert run.wakes("settled").asks(Perform) == ["settled[1].status"]
    run.completes("settled[1].status", "settled")
    assert run["after"].input.load() == {"last": "settled"}


def test_a_repeat_that_is_exhausted_fails() -> None:
    run = ScriptedRun("""
        steps:
          - id: settled
            repeat: {until: "false", max_times: 2}
            steps: [{id: status, use: test.do}]
    """)
    run.completes("settled[0].status").completes("settled[1].status")
    assert run.state.error
    assert run.state.error.code == "repeat_exhausted"


def test_a_long_loop_without_effects_pauses_between_commits() -> None:
    run = ScriptedRun(
        """
        inputs: {many: {}}
        steps:
          - id: all
            foreach: inputs.many
            max_parallel: 10
            steps: [{id: never, if: "false", use: test.do}]
        """,
        inputs={"many": [None] * 2_000},
    )
    commits = 1
    while not run.state.finished:
        assert run.state.since_fact < 2 * BURST
        assert run.asked == [Wake("all", run.now)]
        run.wakes("all")
        commits += 1
    assert commits > 5
    assert run["all[1999].never"].status == "skipped"


BODIES = {
    "switch": """[{id: s, switch: [{when: "true", steps: [{id: x, if: "false", use: test.do}]}]}]""",
    "respond": "[{id: s, use: flow.respond}]",
    "parallel": """[{id: s, parallel: {a: [{id: x, if: "false", use: test.do}], b: [{id: y, use: flow.respond}]}}]""",
    "try": """[{id: s, try: [{id: x, use: flow.fail, with: {message: m}}],
        catch: [{steps: [{id: y, use: flow.respond}]}]}]""",
    "foreach": "[{id: s, foreach: inputs.many, as: inner, steps: [{id: x, use: flow.respond}]}]",
    "a wide foreach": "[{id: s, foreach: inputs.many, as: i, max_parallel: 900, steps: [{id: x, use: flow.respond}]}]",
    "repeat": """[{id: s, repeat: {until: "false", max_times: 900}, steps: [{id: x, use: flow.respond}]}]""",
    "an empty foreach": """[{id: s, foreach: "[]", as: inner, steps: [{id: x, use: flow.respond}]}]""",
}
LARGEST_BODY = 13
"""How many entries an item or turn with one of these bodies makes at most."""

LOOPS = {
    "foreach": "foreach: inputs.many",
    "wide foreach": "foreach: inputs.many, max_parallel: 1000",
    "repeat": """repeat: {until: "false", max_times: 100000}""",
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("loop", LOOPS)
def test_no_loop_makes_a_commit_large_whatever_its_body_is(loop: str, body: str) -> None:
    text = f"""
        inputs: {{many: {{}}}}
        steps: [{{id: all, {LOOPS[loop]}, steps: {BODIES[body]}}}]
        """
    run = ScriptedRun(text, inputs={"many": [None] * 2_000})
    assert len(run.new) < LARGEST_BODY * BURST
    for _ in range(6):
        pauses = [path for path in run.state.active if path in run.state.open]
        if not pauses:
            break
        run.wakes(pauses[0])
        assert len(run.new) < LARGEST_BODY * BURST
        assert len(run.new) < LARGEST_BODY * BURST
    assert len(run.history) > 3 * BURST
    assert check_decisions(run.definition, RUN, run.history) == run.state


def test_the_pause_of_a_loop_of_core_actions_changes_nothing_else() -> None:
    run = ScriptedRun(
        """
        inputs: {many: {}}
        steps:
          - id: all
            foreach: inputs.many
            max_parallel: 700
            steps: [{id: s, switch: [{when: "index % 2 == 0", steps: [{id: x, if: "false", use: test.do}]}]}]
        """,
        inputs={"many": [None] * 2_000},
    )
    while not run.state.finished:
        run.wakes("all")
    assert run.state.status == "completed"
    assert [run.state.blocks["all"].begun, run.state.blocks["all"].running] == [2_000, 0]
    assert [path for path, step in run.state.steps.items() if path.endswith(".x")] == [
        f"all[{index}].s.x" for index in range(0, 2_000, 2)
    ]


def test_a_repeat_that_paused_before_its_first_turn_shows_steps_that_were_not_performed() -> None:
    run = ScriptedRun(
        """
        inputs: {many: {}}
        steps:
          - id: all
            foreach: inputs.many
            max_parallel: 1000
            steps: [{id: again, repeat: {until: "true", max_times: 1}, steps: [{id: x, use: flow.respond}]}]
        """,
        inputs={"many": [None] * 600},
    )
    assert [run.state.blocks["all"].begun, run.state.blocks["all[0].again"].begun] == [BURST - 1, 0]
    output = RunScope(run.definition, run.state)["steps"]["all"]["output"]  # type: ignore[index]
    assert output[0]["steps"]["again"]["output"]["x"]["status"] == "skipped"


# -- kinds ------------------------------------------------------------------------------------------------------


def test_two_kinds_of_steps_that_decide_on_one_entry_are_refused() -> None:
    with pytest.raises(ValueError, match="StepResolved"):
        merge_tables(*(kind.decisions for kind in EVERY_KIND), {StepResolved: end_now})


def test_a_history_with_a_block_of_an_unknown_kind_cannot_be_folded() -> None:
    with pytest.raises(LookupError, match="'race'"):
        apply_entry(State("run"), BlockStarted(at=0, path="a", kind="race"))


@pytest.mark.parametrize("steps", ['[{"kind": "race", "id": "a"}]', '[{"kind": ["race"], "id": "a"}]', "[3]", "{}"])
def test_a_stored_definition_with_steps_of_an_unknown_kind_is_refused(steps: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        Definition.load(f'{{"id": "p", "steps": {steps}}}'.encode())
