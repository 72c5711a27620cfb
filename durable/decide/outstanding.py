"""Finds, after a restart, the attempts that the previous owner lost and the effects that are still to be performed."""

from durable.blocks.core_actions import CORE_ACTIONS
from durable.effects import AwaitSlot, AwaitStart, Effect, Perform, Wake
from durable.history.entries import AttemptLost
from durable.history.state import State, StepState
from durable.history.words import LossCause
from durable.steps.node import CompiledPipeline


def find_lost_attempts(
    pipeline: CompiledPipeline, state: State, at: int, *, is_orphan: bool, cause: LossCause = "crash"
) -> list[AttemptLost]:
    """Return the attempts whose end will never be reported: those whose start is in the history and, if the run
    `is_orphan` (its owner disappeared without releasing it), those that may have started without an entry."""
    if state.finished or state.is_queued:
        return []
    return [
        AttemptLost(at=at, path=path, attempt=step.attempt, cause=cause)
        for path, step in ((path, state.steps[path]) for path in state.active)
        if step.is_started or (is_orphan and _may_have_begun(pipeline, state, path, step, at))
    ]


def _may_have_begun(pipeline: CompiledPipeline, state: State, path: str, step: StepState, at: int) -> bool:
    """Whether an attempt whose start is not recorded may have started. No attempt starts while the run is paused."""
    if path in state.open or step.needs_person:
        return False
    node = pipeline.actions[path]
    if node.step.use in CORE_ACTIONS or node.starts_durably:
        return False
    if state.paused_at is None:
        return step.may_be_attempted(at) or at < state.at  # the clock was set back since the last entry
    return step.due is not None and step.due <= state.paused_at


def find_outstanding(pipeline: CompiledPipeline, state: State, at: int) -> list[Effect]:
    """Return the effects to perform after a restart. Lost attempts must already be in the history."""
    if state.finished or state.pauses:
        return []
    effects: list[Effect] = []
    if state.started and state.start_due is not None:
        effects.append(AwaitStart(state.start_due, state.started.expires_at))
    if state.is_queued and (state.is_due or state.start_due is None):
        effects.append(AwaitSlot())
    if state.is_queued:
        return effects
    for path in state.active:
        step = state.steps[path]
        if not step.is_started and not step.needs_person:
            effects += _find_owed(pipeline, state, path, step, at)
    return effects


def _find_owed(pipeline: CompiledPipeline, state: State, path: str, step: StepState, at: int) -> list[Effect]:
    """Return the effects that a running step still needs."""
    if path in state.open:
        return [] if step.due is None else [Wake(path, step.due)]
    node = pipeline.actions[path]
    core = CORE_ACTIONS.get(node.step.use)
    if core is not None:
        return core.owe(path, step) if core.owe else []
    return [Perform(path, step.attempt, step.due or at, node.starts_durably)]
