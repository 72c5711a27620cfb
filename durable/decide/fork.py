"""Decisions about a fork: a run that goes on from a step of another run, with copies of its checkpoints.

`durable.decide.copy` reports the facts of the other run to the fork, which stops before the step. What runs at that
moment is performed anew when the fork goes on: under the new run's keys, with the recorded inputs.
"""

from durable.blocks.block import Decide
from durable.effects import AwaitSlot, Consequences, EnterStep, FollowUp
from durable.history.entries import RunForked, StepScheduled
from durable.history.state import State
from durable.steps.node import CompiledPipeline


def _go_on(pipeline: CompiledPipeline, state: State, entry: RunForked) -> Consequences:
    if state.is_queued:
        return [], [AwaitSlot()]
    return continue_fork(pipeline, state, entry, entry.at), []


def continue_fork(pipeline: CompiledPipeline, state: State, fork: RunForked, at: int) -> list[FollowUp]:
    """Start the step from which the fork goes on, and what ran beside it."""
    beside = [path for path in state.active if path not in state.open]
    return [*(_schedule_anew(pipeline, state, path, at) for path in beside), EnterStep(at, fork.path)]


def release_fork(state: State, at: int) -> list[FollowUp]:
    """Let a queued fork that ends reach its step, so that the blocks around it end as well."""
    return [EnterStep(at, state.fork_at)] if state.forked and state.fork_at is not None else []


def _schedule_anew(pipeline: CompiledPipeline, state: State, path: str, at: int) -> StepScheduled:
    step, has_undo = state.steps[path], pipeline.actions[path].undo is not None
    return StepScheduled(
        at=at,
        path=path,
        input=step.input,
        secrets=step.secrets,
        has_undo=has_undo,
        cleanup_pass=step.cleanup_pass,
        connection=step.connection,
    )


FORK_DECISIONS: dict[type, Decide] = {RunForked: _go_on}
