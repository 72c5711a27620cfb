"""A retry of a failed run: it continues where it failed, and its cleanup is performed again if it fails again."""

import pytest

from durable.effects import Abandon, AwaitSlot, Perform, RetryChild, StartChild, Wake
from durable.history import entries
from durable.path import make_key
from tests.core.scripted import RUN, ScriptedRun

TWO = """
    defaults: {retry: {max_attempts: 2, min_delay: 1s}}
    steps:
      - {id: a, use: test.do}
      - {id: b, use: test.do, with: {a: "{{ steps.a.output }}"}}
      - {id: c, use: test.do}
    on_failure:
      - {id: page, use: test.do}
      - {id: page_again, use: test.do, if: steps.page.status == 'completed'}
"""


def test_a_failed_step_is_attempted_again_with_its_input_and_its_key() -> None:
    run = ScriptedRun(TWO).completes("a", 7).fails("b").completes("page").completes("page_again")
    assert run.state.status == "failed"
    run.is_retried()
    assert run.new == ["run_retried", "steps_voided", "step_reopened b", "retry_scheduled b"]
    assert (run.state.status, run["b"].attempt, run["b"].input.load()) == ("waiting", 2, {"a": 7})
    assert run.completes("b").completes("c").new[-1] == "run_finished completed"
    assert run.asks(Perform) == []


def test_the_retry_policy_starts_anew_after_a_retry() -> None:
    run = ScriptedRun(TWO).completes("a").fails("b").completes("page").completes("page_again").is_retried()
    run.fails("b", ending="unknown")
    assert run.new == ["attempt_failed b", "retry_scheduled b"]
    assert run["b"].attempt == 3
    assert "step_failed b" in run.fails("b", ending="unknown").new


def test_the_cleanup_is_performed_again_with_keys_of_its_own() -> None:
    run = ScriptedRun(TWO).completes("a").fails("b").completes("page").completes("page_again").is_retried()
    assert "page" not in run.state.steps
    run.fails("b")
    assert run.asks(Perform) == ["page"]
    assert make_key(RUN, "page", run["page"].cleanup_pass) == f"{RUN}:page[2]"
    run.completes("page").completes("page_again").is_retried().fails("b")
    assert run["page"].cleanup_pass == 3
    assert run.completes("page").completes("page_again").state.status == "failed"


def test_a_retried_run_has_its_whole_timeout_again() -> None:
    run = ScriptedRun("timeout: 1d\n" + "steps: [{id: a, use: test.do}]").fails("a")
    run.now += 86_400_000 * 7
    assert run.is_retried().state.deadline == run.now + 86_400_000


def test_a_run_that_timed_out_continues_its_interrupted_steps() -> None:
    run = ScriptedRun("timeout: 1d\n" + "steps: [{id: a, use: test.do}, {id: b, use: test.do}]").runs_out_of_time()
    assert run.state.status == "failed"
    assert run.is_retried().new == ["run_retried", "step_reopened a", "retry_scheduled a"]
    assert run.completes("a").completes("b").state.status == "completed"


def test_a_retry_of_a_run_that_has_not_failed_changes_nothing() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]")
    assert run.is_retried().new == []
    assert run.completes("a").is_retried().new == []


# -- blocks -----------------------------------------------------------------------------------------------------


def test_each_branch_of_a_parallel_that_did_not_complete_continues() -> None:
    run = ScriptedRun("""
        steps:
          - id: both
            parallel:
              left: [{id: one, use: test.do}, {id: two, use: test.do}]
              right: [{id: three, use: test.do}, {id: four, use: test.do}]
              middle: [{id: five, use: test.do}]
          - {id: then, use: test.do}
    """)
    run.completes("both.five").completes("both.one").fails("both.two")
    assert run["both.three"].status == "cancelled"
    assert run.is_retried().new == [
        "run_retried",
        "step_reopened both",
        "branch_reopened both 'left'",
        "branch_reopened both 'right'",
        "step_reopened both.two",
        "step_reopened both.three",
        "retry_scheduled both.two",
        "retry_scheduled both.three",
    ]
    run.completes("both.two").completes("both.three").completes("both.four")
    assert run.asks(Perform) == ["then"]


def test_a_foreach_continues_its_failed_and_cancelled_items_and_then_the_rest() -> None:
    run = ScriptedRun("""
        steps:
          - id: all
            foreach: "[1, 2, 3, 4, 5]"
            max_parallel: 2
            steps: [{id: do, use: test.do}]
    """)
    run.completes("all[0].do").fails("all[1].do")
    assert run["all[2].do"].status == "cancelled"
    run.is_retried()
    assert run.asks(Perform) == ["all[1].do", "all[2].do"]
    assert run.completes("all[2].do").asks(Perform) == ["all[3].do"]
    run.completes("all[1].do").completes("all[3].do")
    assert run.completes("all[4].do").new[-1] == "run_finished completed"


def test_a_foreach_that_collects_does_not_repeat_its_failed_items() -> None:
    run = ScriptedRun("""
        steps:
          - id: all
            foreach: "[1, 2]"
            on_item_error: collect
            steps: [{id: do, use: test.do}]
          - {id: then, use: test.do}
    """)
    run.fails("all[0].do").completes("all[1].do").fails("then")
    assert run.is_retried().asks(Perform) == ["then"]


def test_a_switch_continues_in_its_chosen_case() -> None:
    run = ScriptedRun("""
        steps:
          - id: way
            switch: [{when: "true", steps: [{id: one, use: test.do}, {id: two, use: test.do}]}]
    """)
    run.completes("way.one").fails("way.two")
    assert run.is_retried().asks(Perform) == ["way.two"]
    assert run.completes("way.two").state.status == "completed"


def test_a_repeat_continues_in_its_last_turn() -> None:
    run = ScriptedRun("""
        steps:
          - id: poll
            repeat: {until: "index == 1", max_times: 5}
            steps: [{id: ask, use: test.do}, {id: note, use: test.do}]
    """)
    run.completes("poll[0].ask").completes("poll[0].note").completes("poll[1].ask").fails("poll[1].note")
    assert run.is_retried().asks(Perform) == ["poll[1].note"]
    assert run.completes("poll[1].note").state.status == "completed"


def test_a_repeat_without_turns_left_has_as_many_again() -> None:
    run = ScriptedRun("""
        steps:
          - id: poll
            repeat: {until: "index == 3", max_times: 2}
            steps: [{id: ask, use: test.do}]
    """)
    run.completes("poll[0].ask").completes("poll[1].ask")
    assert run.state.error
    assert run.state.error.code == "repeat_exhausted"
    assert run.is_retried().asks(Perform) == ["poll[2].ask"]
    assert run.completes("poll[2].ask").completes("poll[3].ask").state.status == "completed"


TRY = """
    steps:
      - id: pay
        try: [{id: charge, use: test.do}, {id: book, use: test.do}]
        catch:
          - {when: error.code == 'caught', steps: [{id: note, use: test.do, with: {why: "{{ error.code }}"}},
                                                    {id: more, use: test.do, with: {why: "{{ error.code }}"}}]}
        finally: [{id: audit, use: test.do}, {id: close, use: test.do}]
"""


def test_a_try_without_a_matching_handler_continues_where_it_failed_and_cleans_up_again() -> None:
    run = ScriptedRun(TRY).completes("pay.charge").fails("pay.book", "other")
    run.completes("pay.audit").completes("pay.close")
    assert run.is_retried().new == [
        "run_retried",
        "step_reopened pay",
        "steps_voided",
        "branch_reopened pay 'try'",
        "step_reopened pay.book",
        "retry_scheduled pay.book",
    ]
    assert run.completes("pay.book").asks(Perform) == ["pay.audit"]
    assert run["pay.audit"].cleanup_pass == 2
    assert run.completes("pay.audit").completes("pay.close").state.status == "completed"


def test_a_handler_that_failed_continues_and_reads_the_failure_that_it_handles() -> None:
    run = ScriptedRun(TRY).fails("pay.charge", "caught").fails("pay.note", "else")
    run.completes("pay.audit").completes("pay.close")
    assert run.is_retried().asks(Perform) == ["pay.note"]
    run.completes("pay.note")
    assert run["pay.more"].input.load() == {"why": "caught"}
    run.completes("pay.more").completes("pay.audit")
    assert run.completes("pay.close").state.status == "completed"


def test_a_finally_that_failed_continues_where_it_failed_with_the_same_key() -> None:
    run = ScriptedRun(TRY).fails("pay.charge", "caught").completes("pay.note").completes("pay.more")
    run.completes("pay.audit").fails("pay.close")
    assert run.is_retried().asks(Perform) == ["pay.close"]
    assert run["pay.close"].cleanup_pass == 1
    assert run.completes("pay.close").state.status == "completed"


# -- core actions -----------------------------------------------------------------------------------------------


def test_a_wait_that_timed_out_waits_again_from_now() -> None:
    run = ScriptedRun("steps: [{id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}]").wakes("ask")
    assert run.state.status == "failed"
    run.now += 1_000
    run.is_retried()
    assert run.asks(Wake) == ["ask"]
    assert run["ask"].due == run.now + 3_600_000
    assert run.is_answered("ask", "yes").state.status == "completed"


def test_a_called_run_that_failed_is_retried_and_awaited_again() -> None:
    run = ScriptedRun("steps: [{id: call, use: flow.call, with: {pipeline: other}}]")
    child = run["call"].child
    run.child_ends("call", "failed").is_retried()
    assert run.asked == [RetryChild("call", child or ""), StartChild("call", child or "", is_again=True)]
    assert run.state.status == "waiting"
    assert run.crashes().asks(StartChild) == ["call"]
    assert run.child_ends("call", "completed").state.status == "completed"


def test_a_detached_call_is_not_retried() -> None:
    run = ScriptedRun("steps: [{id: call, use: flow.call, with: {pipeline: other, detach: true}}]")
    run.child_ends("call", "failed").is_retried()
    assert run.asked == [
        RetryChild("call", run["call"].child or "", is_detached=True),
        StartChild("call", run["call"].child or "", is_again=True),
    ]


def test_an_uncertain_step_needs_a_person_again() -> None:
    run = ScriptedRun("""
        timeout: 1d
        steps: [{id: charge, use: test.do, on_crash: park}]
    """)
    run.starts_durably("charge").runs_out_of_time()
    assert run["charge"].status == "uncertain"
    run.is_retried()
    assert run.new == ["run_retried", "step_reopened charge", "step_uncertain charge", "run_paused charge"]
    assert (run.state.status, run.asks(Perform)) == ("paused", [])
    assert run.is_resolved("charge", "completed", 1).state.status == "completed"


# -- what fails again at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [
        "[{id: no, use: flow.fail, with: {message: no}}]",
        "[{id: a, use: test.do, with: {x: '{{ inputs.odd.x }}'}}]",
        "[{id: a, foreach: inputs.odd, steps: [{id: b, use: test.do}]}]",
        "[{id: a, switch: [{when: inputs.odd.x, steps: [{id: b, use: test.do}]}]}]",
        "[{id: a, parallel: {b: [{id: no, use: flow.fail, with: {message: no}}], c: [{id: d, use: test.do}]}}]",
        "[{id: a, use: wait.until, with: {time: '{{ inputs.odd }}'}}]",
    ],
)
def test_a_step_that_cannot_do_better_fails_again_without_an_effect(steps: str) -> None:
    run = ScriptedRun(f"inputs: {{odd: {{}}}}\nsteps: {steps}", inputs={"odd": {"some": "thing"}})
    assert run.state.status == "failed"
    assert run.is_retried().new[-1] == "run_finished failed"
    assert run.asks(Perform) == run.asks(Abandon)


def test_an_action_that_has_returned_is_not_repeated() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do, keep: '{{ output.none }}'}]").completes("a", {"n": 1})
    assert run.state.status == "failed"
    assert run.is_retried().new[-1] == "run_finished failed"
    assert run["a"].output.load() == {"n": 1}


def test_a_run_whose_effects_were_undone_fails_again() -> None:
    run = ScriptedRun("""
        steps:
          - {id: a, use: test.do, undo: {use: test.undo}}
          - {id: b, use: test.do}
        on_failure: [{id: back, use: flow.undo}]
    """)
    run.completes("a").fails("b").completes("a.undo")
    assert run.state.status == "failed"
    assert run.is_retried().new == ["run_retried", "main_ended failed", "run_finished failed"]
    assert run.state.error
    assert run.state.error.code == "undone"


def test_a_run_with_a_slot_is_queued_until_it_has_one_again() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]", queued_for="orders")
    run.report(entries.SlotGranted(at=run.now)).fails("a").is_retried()
    assert (run.state.status, run.asked) == ("queued", [AwaitSlot()])
    assert run.state.reason == "it waits for a slot of orders"
    assert run.crashes().asked == [AwaitSlot()]
    assert run.report(entries.SlotGranted(at=run.now)).asks(Perform) == ["a"]


def test_a_branch_that_cannot_begin_again_ends_once_beside_another_that_fails_at_once() -> None:
    run = ScriptedRun(
        """
        inputs: {odd: {}}
        steps:
          - id: both
            parallel:
              left:
                - id: guard
                  try: [{id: broken, use: test.do, with: {a: "{{ inputs.odd.x }}"}}]
                  finally: [{id: tidy, use: wait.delay, with: {for: 0s}}]
              right: [{id: work, use: test.do}]
            on_branch_error: cancel
        """,
        inputs={"odd": {}},
    )
    run.wakes("both.guard.tidy")
    for _ in range(2):
        run.is_retried().wakes("both.guard.tidy")
        assert run.new[-1] == "run_finished failed"
        assert [line for line in run.story if line == "run_retried"]
        assert run.new.count("branch_ended both 'left' failed") <= 1
