"""Causes: what a run's row says about why the run failed, is paused or waits."""

from durable.cause import MESSAGE_LENGTH, describe_run, shorten_message
from durable.history import entries
from durable.history.words import Failure
from durable.units import Cause
from tests.core.scripted import T0, ScriptedRun

DAY = 86_400_000


def _find_cause(run: ScriptedRun) -> Cause | None:
    return describe_run(run.definition, run.state).cause


def _find_key(run: ScriptedRun) -> str | None:
    return describe_run(run.definition, run.state).error_key


def test_a_run_that_goes_on_or_is_completed_has_no_cause() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]")
    assert _find_cause(run) is None
    assert _find_cause(run.completes("a")) is None


def test_a_failed_run_names_the_step_the_action_and_the_failure() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]").fails("a", "declined")
    assert _find_cause(run) == Cause("failed", "a", "client", "declined", "test.do", "it failed", 1)
    assert _find_key(run)
    other = ScriptedRun("steps: [{id: b, use: test.do}]").fails("b", "declined")
    assert _find_key(other) == _find_key(run), "the step does not count"


def test_an_item_of_a_loop_that_failed_is_named_by_its_path() -> None:
    run = ScriptedRun("""
        steps:
          - id: each
            foreach: "{{ [1, 2] }}"
            steps: [{id: pay, use: test.do}]
    """)
    run.completes("each[0].pay").fails("each[1].pay")
    cause = _find_cause(run)
    assert cause
    assert (cause.kind, cause.step, cause.action) == ("failed", "each[1].pay", "test.do")


def test_a_run_that_timed_out_has_no_step() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]").runs_out_of_time()
    cause = _find_cause(run)
    assert cause
    assert (cause.kind, cause.step, cause.code) == ("failed", None, "run_timeout")


def test_a_run_in_its_cleanup_names_the_failure_and_has_no_key_yet() -> None:
    run = ScriptedRun("""
        steps: [{id: a, use: test.do}]
        on_failure: [{id: tell, use: test.do}]
    """).fails("a")
    cause = _find_cause(run)
    assert cause
    assert (cause.kind, cause.step) == ("cleanup", "a")
    assert _find_key(run) is None
    assert _find_key(run.completes("tell"))


def test_a_back_off_counts_attempts_apart_from_lost_ones() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do, retry: {max_attempts: 4}}]").crashes().fails("a", ending="unknown")
    cause = _find_cause(run)
    assert cause == Cause("retry", "a", "network", "no", "test.do", "it failed", 3, 5, lost=1, due=run["a"].due)
    assert _find_key(run) is None


def test_a_page_is_named_by_its_path_and_counts_its_own_attempts() -> None:
    paged = "steps: [{id: a, use: test.list, retry: {max_attempts: 3, errors: [network]}, on_exhausted: pause}]"
    run = ScriptedRun(paged).crashes().gets_page("a", [1]).gets_page("a", [2], wait=500)
    assert _find_cause(run) == Cause("page", "a.page[2]", due=T0 + 500)
    run.crashes().fails("a", ending="unknown")
    cause = _find_cause(run)
    assert cause == Cause("retry", "a.page[2]", "network", "no", "test.list", "it failed", 2, 3, due=run["a"].due)
    run.crashes().fails("a", "declined")
    assert _find_cause(run) == Cause("exhausted", "a.page[2]", "client", "declined", "test.list", "it failed", 2)
    assert _find_key(run) == _find_key(ScriptedRun(paged).fails("a", "declined")), "the page does not count"
    run.is_resolved("a", "failed")
    cause = _find_cause(run)
    assert cause
    assert (cause.kind, cause.step, cause.action) == ("failed", "a", "test.list")


def test_a_parallel_run_names_the_step_that_waits_while_another_is_performed() -> None:
    run = ScriptedRun("""
        steps:
          - id: both
            parallel:
              one: [{id: a, use: test.do}]
              two: [{id: b, use: test.do}]
    """).fails("both.a", ending="unknown")
    assert run.state.status == "running"
    cause = _find_cause(run)
    assert cause
    assert (cause.kind, cause.step, cause.others) == ("retry", "both.a", 0)


def test_a_wait_names_who_is_asked_until_when_and_what_follows() -> None:
    run = ScriptedRun("""
        steps: [{id: ask, use: wait.approval, with: {to: ops@example.com, title: Pay}, timeout: 2d, on_timeout: fail}]
    """)
    assert _find_cause(run) == Cause("approval", "ask", due=T0 + 2 * DAY, to="ops@example.com", times_out="fail")


def test_a_wait_for_an_event_names_its_type_and_subject() -> None:
    run = ScriptedRun("""
        steps: [{id: sent, use: wait.event, with: {type: parcel.sent, match: o-1}, timeout: 1d, on_timeout: {value: 1}}]
    """)
    assert _find_cause(run) == Cause(
        "event", "sent", due=T0 + DAY, target="parcel.sent", match="o-1", times_out="value"
    )


def test_the_first_of_several_waits_is_named_and_the_others_counted() -> None:
    run = ScriptedRun("""
        steps:
          - id: all
            parallel:
              long: [{id: a, use: wait.delay, with: {for: 2h}}]
              short: [{id: b, use: wait.delay, with: {for: 1h}}]
              ask: [{id: c, use: wait.webhook, timeout: 3h, on_timeout: fail}]
    """)
    assert _find_cause(run) == Cause("delay", "all.b", due=T0 + 3_600_000, others=2)


def test_a_wait_for_any_of_several_names_them() -> None:
    run = ScriptedRun("""
        steps:
          - id: any
            use: wait.any
            with: {waits: {yes: {use: wait.webhook}, late: {use: wait.delay, with: {for: 1h}}}}
    """)
    assert _find_cause(run) == Cause("any", "any", due=T0 + 3_600_000, awaits=("delay", "webhook"))


def test_a_called_run_is_named() -> None:
    run = ScriptedRun("steps: [{id: call, use: flow.call, with: {pipeline: other}}]")
    cause = _find_cause(run)
    assert cause
    assert (cause.kind, cause.step, cause.target) == ("call", "call", run["call"].child)


def test_a_queued_run_names_the_slot() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]", queued_for="orders:c-17")
    assert _find_cause(run) == Cause("slot", target="orders:c-17")


def test_a_paused_run_has_the_key_of_the_failure_that_paused_it() -> None:
    parked = ScriptedRun("steps: [{id: pay, use: test.do, on_crash: park}]")
    parked.starts_durably("pay").fails("pay", ending="unknown")
    assert _find_cause(parked) == Cause("uncertain", "pay", "network", "no", "test.do", "it failed", 1)
    assert _find_key(parked)
    assert _find_key(parked.is_resolved("pay", "retry")) is None


def test_a_run_over_the_recovery_limit_names_the_reason() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]")
    run.report(entries.RecoveryStopped(at=T0, count=3))
    cause = _find_cause(run)
    assert cause
    assert (cause.kind, cause.step) == ("stopped", None)
    assert "recovered 3 times" in (cause.message or "")


def test_a_run_that_failed_before_its_first_step_says_so() -> None:
    refused = ScriptedRun("steps: [{id: a, use: test.do}]", error=Failure.of("invalid", "inputs", "total is missing"))
    cause = _find_cause(refused)
    assert cause == Cause("unstarted", None, "invalid", "inputs", message="total is missing")


def test_a_long_message_is_cut_between_two_words() -> None:
    assert shorten_message("a\n b") == "a b"
    assert shorten_message("word " * 100) == "word " * 39 + "word …"
    assert shorten_message("x" * 4_000) == " …", "half of a secret would not be found by a redactor"
    assert len(shorten_message("word " * 1_000) or "") <= MESSAGE_LENGTH + 2
    assert shorten_message(None) is None
