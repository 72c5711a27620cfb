"""Ends of a run: stop, cancel and timeout, the cleanup that still runs, and the effect of a pause."""

from durable.blocks.endings import CLEANUP_TIMEOUT
from durable.decide.outstanding import find_lost_attempts
from durable.effects import Abandon, AwaitSlot, Perform, Resume
from durable.history.entries import InputRefused, MainEnding, RunResumed, SlotGranted
from tests.core.scripted import T0, ScriptedRun

TRY = """
    timeout: 1d
    steps:
      - id: pay
        try: [{id: charge, use: test.do, on_crash: %s}]
        finally: [{id: audit, use: test.do, on_crash: park}]
      - {id: never, use: test.do}
    on_failure:
      - {id: page, use: test.do}
"""


def test_a_cancel_ends_steps_in_progress_and_still_performs_finally() -> None:
    run = ScriptedRun(TRY % "retry").is_cancelled()
    assert run.new == [
        "cancel_requested",
        "main_ending cancelled",
        "step_cancelled pay.charge",
        "branch_ended pay 'try' cancelled",
        "branch_started pay 'finally'",
        "step_scheduled pay.audit",
    ]
    assert run.asks(Abandon) == ["pay.charge"]
    assert run.completes("pay.audit").new == [
        "step_completed pay.audit",
        "branch_ended pay 'finally' completed",
        "step_cancelled pay",
        "main_ended cancelled",
        "run_finished cancelled",
    ], "on_failure follows failures only"


def test_a_second_cancel_does_not_interrupt_the_cleanup() -> None:
    run = ScriptedRun(TRY % "retry").is_cancelled()
    assert run.is_cancelled().new == []
    assert run.state.deadline == T0 + CLEANUP_TIMEOUT


def test_a_run_that_times_out_fails_and_performs_on_failure() -> None:
    run = ScriptedRun(TRY % "retry").runs_out_of_time().completes("pay.audit")
    assert run.state.error
    assert run.state.error.code == "run_timeout"
    assert run.asks(Perform) == ["page"]


def test_a_cleanup_that_times_out_is_cut_off_and_recorded() -> None:
    run = ScriptedRun(TRY % "retry").runs_out_of_time().starts_durably("pay.audit").runs_out_of_time()
    assert run.new == ["deadline_passed", "step_uncertain pay.audit", "main_ended failed", "step_scheduled page"]
    assert run.state.main
    assert run.state.main.cleanup_error
    assert run.state.main.cleanup_error.code == "cleanup_timeout"
    run.runs_out_of_time()
    assert run.state.status == "failed"


def test_an_uncertain_step_stays_uncertain_in_a_cancelled_run() -> None:
    run = ScriptedRun(TRY % "park").starts_durably("pay.charge").is_cancelled()
    assert run.new[2:4] == ["step_uncertain pay.charge", "step_cancelled pay.charge"]
    assert run["pay.charge"].status == "uncertain"
    assert run.state.status == "running"


def test_a_stop_performs_every_enclosing_finally() -> None:
    run = ScriptedRun("""
        steps:
          - id: outer
            try:
              - id: inner
                try: [{id: stop, use: flow.stop, with: {status: cancelled, reason: enough}}]
                finally: [{id: one, use: test.do}]
              - {id: never, use: test.do}
            finally: [{id: two, use: test.do}]
    """)
    assert run.asks(Perform) == ["outer.inner.one"]
    assert run.completes("outer.inner.one").asks(Perform) == ["outer.two"]
    run.completes("outer.two")
    assert (run.state.status, run.state.reason) == ("cancelled", "enough")


def test_several_simultaneous_stops_end_the_run_once() -> None:
    run = ScriptedRun("""
        steps:
          - id: all
            foreach: "[1, 2, 3]"
            max_parallel: 3
            steps: [{id: stop, use: flow.stop, with: {reason: "number {{ item }}"}}]
    """)
    assert [entry.reason for entry in run.history if isinstance(entry, MainEnding)] == ["number 1"]
    assert (run.state.status, run.state.reason) == ("completed", "number 1")


def test_a_simultaneous_stop_and_failure_end_the_run_once() -> None:
    run = ScriptedRun("""
        steps:
          - id: both
            on_branch_error: finish
            parallel:
              left: [{id: fail, use: flow.fail, with: {message: no}}]
              right: [{id: stop, use: flow.stop}]
    """)
    assert [line for line in run.story if line.startswith("main_ended")] == ["main_ended completed"]


def test_a_block_reached_at_the_moment_of_a_stop_ends() -> None:
    run = ScriptedRun("""
        steps:
          - id: both
            parallel:
              left: [{id: stop, use: flow.stop}]
              right: [{id: inner, try: [{id: work, use: test.do}], finally: [{id: tidy, use: test.do}]}]
    """)
    while run.state.active:
        run.completes(next(iter(run.state.active)))
    assert run.state.status == "completed"


def test_a_stop_within_on_failure_ends_all_of_its_steps() -> None:
    run = ScriptedRun("""
        steps: [{id: fail, use: flow.fail, with: {message: no}}]
        on_failure:
          - id: both
            parallel:
              left: [{id: work, use: test.do}]
              right:
                - id: careful
                  try: [{id: check, use: test.do}, {id: stop, use: flow.stop}]
                  finally: [{id: tidy, use: test.do}]
          - {id: never, use: test.do}
    """)
    assert run.asks(Perform) == ["both.work", "both.careful.check"]
    run.completes("both.careful.check")
    assert run.asks(Abandon) == ["both.work"]
    assert run.asks(Perform) == ["both.careful.tidy"]
    run.completes("both.careful.tidy")
    assert run.state.status == "failed"
    assert "never" not in run.state.steps


def test_a_failure_within_on_failure_cancels_its_other_branches() -> None:
    run = ScriptedRun("""
        steps: [{id: fail, use: flow.fail, with: {message: no}}]
        on_failure:
          - id: both
            parallel:
              left: [{id: one, use: test.do}, {id: never, use: test.do}]
              right: [{id: two, use: test.do}]
    """)
    assert run.fails("both.two").asks(Abandon) == ["both.one"]
    assert run.state.finished
    assert run.state.finished.cleanup_error
    assert "both.never" not in run.state.steps


# -- pauses -----------------------------------------------------------------------------------------------------

PARKED = """
    defaults: {retry: {max_attempts: 1}}
    steps:
      - id: both
        parallel:
          left: [{id: charge, use: test.do, on_crash: park}]
          right: [{id: other, use: test.do}, {id: then, use: test.do}]
"""


def test_an_uncertain_step_pauses_its_run_until_a_person_resolves_it() -> None:
    run = ScriptedRun(PARKED).fails("both.charge", ending="unknown")
    assert run.new == ["attempt_failed both.charge", "step_uncertain both.charge", "run_paused both.charge"]
    assert run.state.status == "paused"
    assert not run.crashes().asked
    run.is_resolved("both.charge", "completed", "c-1")
    assert run.asked == [Resume()]
    assert run["both.charge"].output.load() == "c-1"


def test_an_attempt_that_began_before_a_pause_is_lost_in_a_crash_even_if_the_clock_was_set_back() -> None:
    run = ScriptedRun(PARKED)
    run.now -= 60_000
    run.fails("both.charge", ending="unknown")
    assert run.state.status == "paused"
    assert run.crashes().new == ["attempt_lost both.other", "retry_scheduled both.other"]


def test_a_pause_ends_when_another_branch_cancels_its_step() -> None:
    run = ScriptedRun("""
        defaults: {retry: {max_attempts: 1}}
        steps:
          - id: careful
            try:
              - id: both
                parallel:
                  left: [{id: charge, use: test.do, on_crash: park}]
                  right: [{id: other, use: test.do}]
            catch: [{steps: [{id: note, use: test.do}]}]
    """)
    run.fails("careful.both.charge", ending="unknown").fails("careful.both.other")
    assert run.state.status == "running"
    assert not run.state.pauses
    assert Resume() in run.asked
    assert run.asks(Perform) == ["careful.note"]


def test_a_cancel_does_not_hide_an_uncertain_step_of_finally() -> None:
    run = ScriptedRun(TRY % "retry").completes("pay.charge").fails("pay.audit", ending="unknown")
    assert list(run.is_cancelled().state.pauses) == ["pay.audit"], (
        "the cleanup continues, and a person must still resolve the step"
    )
    assert run.state.status == "paused"
    assert run.is_resolved("pay.audit", "completed").new[-1] == "run_finished cancelled"


def test_cancelling_a_paused_run_lets_its_cleanup_continue() -> None:
    run = ScriptedRun(TRY % "retry").completes("pay.charge")
    run.report(InputRefused(at=run.now, path="pay.audit", attempt=1, reason="unfit"))
    assert run.state.pauses
    assert not run.is_cancelled().state.pauses
    assert run.asked == [Resume()], "the step that the pause held back is performed"


def test_an_attempt_with_rejected_input_was_certainly_not_performed() -> None:
    run = ScriptedRun(TRY % "park").starts_durably("pay.charge")
    run.report(InputRefused(at=run.now, path="pay.charge", attempt=1, reason="unfit"))
    run.report(RunResumed(at=run.now))
    assert run.crashes().asks(Perform) == ["pay.charge"]
    assert run["pay.charge"].status == "running"


def test_an_attempt_with_rejected_input_is_not_lost_in_a_crash() -> None:
    run = ScriptedRun("steps: [{id: charge, use: test.do}]")
    run.now += 60_000
    run.report(InputRefused(at=run.now, path="charge", attempt=1, reason="unfit"))
    assert find_lost_attempts(run.definition, run.state, run.now + 1, is_orphan=True) == []
    run.report(RunResumed(at=run.now + 2))
    lost = find_lost_attempts(run.definition, run.state, run.now + 3, is_orphan=True)
    assert [(each.path, each.attempt) for each in lost] == [("charge", 1)], "now it may have begun"


def test_a_run_queued_for_a_slot_begins_when_the_slot_is_granted() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]", queued_for="customer 7")
    assert (run.state.status, run.state.reason) == ("queued", "it waits for a slot of customer 7")
    assert run.asked == [AwaitSlot()]
    assert run.crashes().asked == [AwaitSlot()]
    assert run.report(SlotGranted(at=run.now)).asks(Perform) == ["a"]


def test_a_cancelled_queued_run_never_begins() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]", queued_for="customer 7").is_cancelled()
    assert run.new == ["cancel_requested", "main_ending cancelled", "main_ended cancelled", "run_finished cancelled"]
    assert run.report(SlotGranted(at=run.now)).new == []


def test_a_stop_within_finally_ends_only_its_own_sequence_there() -> None:
    run = ScriptedRun("""
        steps:
          - id: pay
            try: [{id: charge, use: test.do}]
            finally:
              - id: tidy
                parallel:
                  left: [{id: stop, use: flow.stop}, {id: not_this, use: test.do}]
                  right: [{id: work, use: test.do}]
              - {id: audit, use: test.do}
          - {id: nor_this, use: test.do}
    """).completes("pay.charge")
    assert run.completes("pay.tidy.work").asks(Perform) == ["pay.audit"]
    assert run.completes("pay.audit").new[-3:] == [
        "step_cancelled pay",
        "main_ended completed",
        "run_finished completed",
    ]


def test_interrupted_items_appear_as_cancelled() -> None:
    run = ScriptedRun("""
        timeout: 1d
        steps:
          - id: pay
            try: [{id: charge, use: test.do}]
            finally: [{id: all, foreach: "[1, 2]", steps: [{id: tell, use: test.do}]}]
        on_failure:
          - {id: page, use: test.do, with: {items: "{{ steps.all.output }}"}}
    """).runs_out_of_time()
    run.runs_out_of_time()
    given = run["page"].input.load()
    assert isinstance(given, dict)
    assert [item["status"] for item in given["items"]] == ["cancelled"]  # type: ignore[union-attr,call-overload,index]
