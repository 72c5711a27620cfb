"""Runs that a run calls, and events that it sends."""

from typing import get_args

from durable.action import ErrorClass
from durable.decide.ends import abandon_step
from durable.decide.sequence import refuse_step
from durable.definition.definition import Definition
from durable.effects import Consequences, EmitEvent, FollowUp, StartChild
from durable.expressions import ExpressionError
from durable.history.entries import (
    ChildCalled,
    ChildEnded,
    StepCompleted,
    StepFailed,
    StepScheduled,
    TimerFired,
    TimerSet,
)
from durable.history.state import State
from durable.history.words import Failure
from durable.ids import derive_id
from durable.scope import build_scope
from durable.values import NotJSON, Value

DEPTH_LIMIT = 16
"""Calls and events that lead to each other."""


def called(definition: Definition, state: State, entry: StepScheduled) -> list[FollowUp]:
    """A `flow.call` was reached; the name of its run follows from where it stands, so that it is started once."""
    path, at = entry.path, entry.at
    if state.depth >= DEPTH_LIMIT:
        return [_too_deep(path, at)]
    return [ChildCalled(at=at, path=path, run=derive_id("run", at, state.run, path))]


def emitted(state: State, entry: StepScheduled) -> Consequences:
    """A `flow.emit` was reached."""
    if state.depth >= DEPTH_LIMIT:
        return [_too_deep(entry.path, entry.at)], []
    return [], [EmitEvent(entry.path)]


def _too_deep(path: str, at: int) -> StepFailed:
    message = f"runs set each other going more than {DEPTH_LIMIT} deep; is there a circle?"
    return StepFailed(at=at, path=path, error=Failure.of("invalid", "too_deep", message, path))


def child_called(definition: Definition, entry: ChildCalled) -> Consequences:
    timeout = definition.action(entry.path).spec.timeout
    due: list[FollowUp] = [] if timeout is None else [TimerSet(at=entry.at, path=entry.path, due=entry.at + timeout)]
    return due, [StartChild(entry.path, entry.run)]


def child_ended(definition: Definition, state: State, entry: ChildEnded) -> list[FollowUp]:
    """The called run's end is that of the step: its outputs, or its error."""
    path, at = entry.path, entry.at
    if entry.status == "completed":
        return [_completed(definition, state, entry)]
    if entry.status == "cancelled":
        failure = Failure.of(None, "child_cancelled", f"the called run {entry.run} was cancelled", path)
        return [StepFailed(at=at, path=path, error=failure)]
    error = entry.error or Failure()
    error_class = error.error_class if error.error_class in get_args(ErrorClass) else None
    details = Value.of({"run": entry.run, "step": error.step})
    failure = Failure.of(error_class, error.code, error.message, path, details=details)
    return [StepFailed(at=at, path=path, error=failure)]


def _completed(definition: Definition, state: State, entry: ChildEnded) -> FollowUp:
    node = definition.action(entry.path)
    output = entry.outputs
    if node.keep:
        try:
            scope = build_scope(definition, state, entry.path, output=output.load())
            output = Value.of(node.keep.render(scope)[0])
        except (ExpressionError, NotJSON) as error:
            return refuse_step(entry.path, entry.at, f"keep: {error}")
    return StepCompleted(at=entry.at, path=entry.path, attempt=1, output=output)


def timer_fired(definition: Definition, state: State, entry: TimerFired) -> Consequences:
    """The called run took too long: the step fails, and that run is cancelled."""
    seconds = (definition.action(entry.path).spec.timeout or 0) / 1000
    failure = Failure.of("timeout", "call_timeout", f"the called run took longer than {seconds:g} s", entry.path)
    return [StepFailed(at=entry.at, path=entry.path, error=failure)], abandon_step(state, entry.path)
