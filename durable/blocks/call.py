"""`flow.call`: run another pipeline, and wait for its outputs."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import Field

from durable.action import ErrorClass, Inputs
from durable.blocks.block import CoreAction
from durable.blocks.depth import DEPTH_LIMIT, refuse_depth
from durable.blocks.endings import abandon_step, complete_step, get_inputs
from durable.blocks.syntax import CoreSyntax, Outline
from durable.effects import Abandon, Consequences, Effect, FollowUp, RetryChild, StartChild, Wake
from durable.history.entries import (
    ChildCalled,
    ChildEnded,
    StepFailed,
    StepReopened,
    StepScheduled,
    TimerFired,
    TimerSet,
)
from durable.history.state import State, StepState
from durable.history.words import Failure
from durable.ids import derive_id
from durable.known_values import KnownMapping, KnownValue, is_template
from durable.problem import DataProblem
from durable.spec_model import Mapped, get_mapping
from durable.steps.node import CompiledPipeline
from durable.values import Value


class CallInputs(Inputs, title="Call"):
    """Run another pipeline and wait for its outputs."""

    pipeline: str = Field(description="The id of the pipeline")
    inputs: dict[str, Any] = Field(default_factory=dict, description="The inputs of the called run")
    detach: bool = Field(False, description="Continue without waiting for the called run")


# -- state ------------------------------------------------------------------------------------------------------


def _fold_call(state: State, entry: ChildCalled) -> None:
    step = state.steps[entry.path]
    step.status, step.due, step.child = "waiting", None, entry.run


def _fold_end(state: State, entry: ChildEnded) -> None:
    """A fork copies the end of a run that the other run called: that is the run that did the work."""
    if state.fork_at is not None and entry.run is not None:
        state.steps[entry.path].child = entry.run


# -- decisions --------------------------------------------------------------------------------------------------


def _begin(pipeline: CompiledPipeline, state: State, entry: StepScheduled | StepReopened) -> Consequences:
    """Choose the id of the called run. It is derived from the step's path, so that only one run is started. A reopened
    step continues with the run that it has called."""
    path, at = entry.path, entry.at
    if (called := state.steps[path].child) is not None:
        return [ChildCalled(at=at, path=path, run=called, is_again=True)], []
    if state.depth >= DEPTH_LIMIT:
        return [refuse_depth(path, at)], []
    return [ChildCalled(at=at, path=path, run=derive_id("run", at, state.run, path))], []


def _start_child(pipeline: CompiledPipeline, state: State, entry: ChildCalled) -> Consequences:
    timeout = pipeline.actions[entry.path].step.timeout
    due: list[FollowUp] = [] if timeout is None else [TimerSet(at=entry.at, path=entry.path, due=entry.at + timeout)]
    start = StartChild(entry.path, entry.run, entry.is_again)
    if not entry.is_again:
        return due, [start]
    is_detached = bool(get_inputs(state, entry.path).get("detach"))
    return due, [RetryChild(entry.path, entry.run, is_detached), start]


def _follow_child(pipeline: CompiledPipeline, state: State, entry: ChildEnded) -> Consequences:
    """End the step as the called run ended: with its outputs, or its error."""
    path, at = entry.path, entry.at
    if entry.status == "completed":
        end: FollowUp = complete_step(pipeline, state, pipeline.actions[path], path, at, entry.outputs)
    else:
        end = StepFailed(at=at, path=path, error=_describe_failure(entry))
    return [end], [Abandon(path)]


def _describe_failure(entry: ChildEnded) -> Failure:
    if entry.status == "cancelled":
        return Failure.of(None, "child_cancelled", f"the called run {entry.run} was cancelled", entry.path)
    error = entry.error or Failure()
    error_class = error.error_class if error.error_class in get_args(ErrorClass) else None
    details = Value.of({"run": entry.run, "step": error.step})
    return Failure.of(error_class, error.code, error.message, entry.path, details=details)


def _fire(pipeline: CompiledPipeline, state: State, entry: TimerFired) -> Consequences:
    """Fail the step and cancel the called run, which took too long."""
    seconds = (pipeline.actions[entry.path].step.timeout or 0) / 1000
    failure = Failure.of("timeout", "call_timeout", f"the called run took longer than {seconds:g} s", entry.path)
    return [StepFailed(at=entry.at, path=entry.path, error=failure)], abandon_step(state, entry.path)


def _owe(path: str, step: StepState) -> list[Effect]:
    start: list[Effect] = [StartChild(path, step.child)] if step.child else []
    return start if step.due is None else [*start, Wake(path, step.due)]


def find_called(given: Mapped) -> str | None:
    """Return the name of the called pipeline, unless an expression computes it."""
    called = given.get("pipeline")
    return called if isinstance(called, str) and not is_template(called) else None


def _check(step: Mapped, outline: Outline) -> Iterator[DataProblem]:
    if find_called(get_mapping(step.get("with"))) == outline.pipeline and not outline.may_end_before:
        what, hint = "the pipeline calls itself without an end", "give the step an 'if' that ends it"
        yield DataProblem(("with", "pipeline"), what, hint, severity="warning")


def _hold(given: Mapped) -> KnownValue:
    return KnownMapping({"run": None}) if given.get("detach") is True else None


_SYNTAX = CoreSyntax(keys=frozenset({"timeout", "keep"}), returns=_hold, check=_check, find_called=find_called)


ACTION = CoreAction(
    use="flow.call",
    input=CallInputs,
    syntax=_SYNTAX,
    begin=_begin,
    fire=_fire,
    owe=_owe,
    counts_once=True,
    is_reported=True,
    decisions={ChildCalled: _start_child, ChildEnded: _follow_child},
    folds={ChildCalled: _fold_call, ChildEnded: _fold_end},
)
