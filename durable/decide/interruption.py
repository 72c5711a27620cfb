"""Interrupts running steps, at the end of their block or part of the run, or at a deadline."""

from durable.blocks.endings import abandon_step
from durable.blocks.pages import locate_attempt
from durable.effects import Consequences, Effect, FollowUp
from durable.history.entries import StepCancelled, StepUncertain
from durable.history.state import State
from durable.history.words import Failure
from durable.steps.node import CompiledPipeline


def interrupt_steps(pipeline: CompiledPipeline, state: State, root: str, at: int) -> Consequences:
    """Cancel the running steps inside a block (or the run), except in its cleanup. A step that may have had its effect
    and must not be repeated is first marked as uncertain."""
    ends: list[FollowUp] = []
    effects: list[Effect] = []
    for path in state.list_interruptible(root):
        block = state.blocks.get(path)
        if block and block.running:
            continue  # its timer starts the next item; the end of its running items ends the block
        if _may_have_happened(pipeline, state, path):
            ends.append(_mark_uncertain(pipeline, state, path, at))
        ends.append(StepCancelled(at=at, path=path))
        effects += abandon_step(state, path)
    return ends, effects


def cut_off_steps(pipeline: CompiledPipeline, state: State, at: int) -> Consequences:
    """Stop everything that is running. The end of the part, which follows, cancels the steps."""
    doubtful = [path for path in state.active if _may_have_happened(pipeline, state, path)]
    ends: list[FollowUp] = [_mark_uncertain(pipeline, state, path, at) for path in doubtful]
    return ends, [effect for path in state.active for effect in abandon_step(state, path)]


def _may_have_happened(pipeline: CompiledPipeline, state: State, path: str) -> bool:
    return state.steps[path].is_started and pipeline.actions[path].step.on_crash == "park"


def _mark_uncertain(pipeline: CompiledPipeline, state: State, path: str, at: int) -> StepUncertain:
    step = state.steps[path]
    place, number = locate_attempt(pipeline.actions[path], step, path, step.attempt)
    failure = Failure.of("crash", "interrupted", "the run ended during the attempt", place, number)
    return StepUncertain(at=at, path=path, attempt=step.attempt, error=failure)
