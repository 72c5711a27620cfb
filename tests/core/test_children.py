"""Called runs and sent events."""

import pytest

from durable.action import Ending
from durable.blocks.depth import DEPTH_LIMIT
from durable.effects import EmitEvent, PostMessage, StartChild, Wake
from durable.history.entries import AttemptFailed, RunStarted
from durable.history.state import State
from durable.history.words import EndStatus, Failure, Parent
from durable.replay import apply_entry
from tests.core.scripted import T0, ScriptedRun

CALL = "steps: [{id: licence, use: flow.call, with: {pipeline: issue_licence}, timeout: 1h}, {id: after, use: test.do}]"


def test_a_called_run_has_the_same_id_after_a_restart() -> None:
    run = ScriptedRun(CALL)
    assert run.story == ["step_scheduled licence", "child_called licence", "timer_set licence"]
    child = run["licence"].child or ""
    assert run.asked == [StartChild("licence", child), Wake("licence", T0 + 3_600_000)]
    assert run.crashes().asked == [StartChild("licence", child), Wake("licence", T0 + 3_600_000)]


def test_the_outputs_of_a_called_run_are_the_output_of_its_step() -> None:
    run = ScriptedRun(CALL).child_ends("licence", outputs={"key": "k"})
    assert run["licence"].output.load() == {"key": "k"}
    assert "step_scheduled after" in run.new
    assert run.child_ends("licence").new == [], "it ends once"


@pytest.mark.parametrize(("status", "code"), [("failed", "broken"), ("cancelled", "child_cancelled")])
def test_the_failure_of_a_called_run_fails_its_step(status: EndStatus, code: str) -> None:
    run = ScriptedRun(CALL).child_ends("licence", status)
    assert run.state.error
    assert run.state.error.code == code


def test_a_called_run_that_takes_too_long_is_cancelled() -> None:
    run = ScriptedRun(CALL)
    child = run["licence"].child
    run.wakes("licence")
    assert run.state.error
    assert run.state.error.code == "call_timeout"
    assert [(post.run, post.kind) for post in run.asked if isinstance(post, PostMessage)] == [(child, "cancel")]


def test_a_called_run_is_cancelled_with_its_caller() -> None:
    run = ScriptedRun(CALL)
    child = run["licence"].child
    run.is_cancelled()
    assert [(post.run, post.kind) for post in run.asked if isinstance(post, PostMessage)] == [(child, "cancel")]
    assert run.child_ends("licence").new == []


@pytest.mark.parametrize("ending", ["answered", "unknown"])
def test_a_caller_is_notified_of_the_end_once(ending: Ending) -> None:
    run = ScriptedRun(
        "{defaults: {retry: {max_attempts: 1}}, steps: [{id: a, use: test.do}]}",
        parent=Parent("run_caller", "licence", 1),
    )
    run.fails("a", ending=ending)
    posts = [post for post in run.asked if isinstance(post, PostMessage)]
    assert [(post.run, post.kind) for post in posts] == [("run_caller", "child")]
    result = posts[0].data.load()
    assert isinstance(result, dict)
    assert (result["path"], result["status"]) == ("licence", "failed")


def test_no_caller_is_notified_of_the_end_of_a_detached_run() -> None:
    run = ScriptedRun("steps: [{id: a, use: test.do}]", parent=Parent("run_caller", "licence", 1, is_detached=True))
    assert not run.completes("a").asked


def test_recursive_calls_end_at_a_limit() -> None:
    run = ScriptedRun(CALL, parent=Parent("run_caller", "licence", DEPTH_LIMIT))
    assert run.state.error
    assert run.state.error.code == "too_deep"


def test_an_emit_is_outstanding_until_its_checkpoint() -> None:
    run = ScriptedRun("steps: [{id: tell, use: flow.emit, with: {type: parcel.shipped}}]")
    assert run.asked == [EmitEvent("tell")]
    assert run.crashes().asked == [EmitEvent("tell")]
    assert not run.completes("tell").crashes().asked


def test_a_refused_event_fails_its_step_at_once() -> None:
    run = ScriptedRun(
        "{defaults: {retry: {max_attempts: 3, errors: [invalid]}},"
        " steps: [{id: tell, use: flow.emit, with: {type: parcel.shipped}}]}"
    )
    refusal = Failure.of("invalid", "too_many_runs", "too many", "tell")
    run.report(AttemptFailed(at=run.now, path="tell", attempt=1, error=refusal, ending="not_sent"))
    assert run.state.error == refusal
    assert run["tell"].status == "failed"


@pytest.mark.parametrize(
    ("event", "origin", "expected"), [("evt_2", "evt_1", "evt_1"), ("evt_1", None, "evt_1"), (None, None, "run_1")]
)
def test_a_run_knows_the_event_at_its_origin(event: str | None, origin: str | None, expected: str) -> None:
    state = State(run="run_1")
    apply_entry(state, RunStarted(at=T0, pipeline="p", version="v", deadline=T0, event=event, origin=origin))
    assert state.origin == expected
