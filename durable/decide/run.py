"""Decisions about the run as a whole: how it starts, and how it ends: with its last step, a failure, a cancel or a
timeout.

An early end of the main part is first announced (`MainEnding`). Then running steps are cancelled and each `finally` is
performed; the main part ends when all of that is done. Each part ends once.
"""

from durable.blocks.block import NONE, Decide
from durable.blocks.endings import announce_end, end_main, finish_main, get_main_status
from durable.blocks.reopening import resume_sequence, void_steps
from durable.decide.fork import continue_fork, release_fork
from durable.decide.interruption import cut_off_steps, interrupt_steps
from durable.effects import Abandon, AwaitSlot, AwaitStart, Consequences, Effect, EnterStep, FollowUp, PostMessage
from durable.history import entries
from durable.history.state import State
from durable.history.words import Failure
from durable.scope import to_document
from durable.steps.node import CompiledPipeline
from durable.values import JSON, Value

EXPIRED = "expired"
"""The reason of a run that was cancelled because it did not start in time."""

UNDONE = Failure.of("invalid", "undone", "effects of its steps were undone, so that their checkpoints are void")
"""The failure of a run that is retried after a `flow.undo`."""

# -- beginning --------------------------------------------------------------------------------------------------


def _start_run(pipeline: CompiledPipeline, state: State, entry: entries.RunStarted) -> Consequences:
    if entry.error:
        return [end_main(pipeline, "failed", entry.at, error=entry.error)], []
    if state.fork_at is not None:
        return _enter_main(pipeline, entry.at), []  # queued or not, it copies what the other run did
    if entry.held_until is not None:
        return [], [AwaitStart(entry.held_until, entry.expires_at)]
    if entry.queued_for is not None:
        return [], [AwaitSlot()]
    return _enter_main(pipeline, entry.at), []


def _start_held_run(
    pipeline: CompiledPipeline, state: State, entry: entries.StartDue | entries.SlotGranted
) -> Consequences:
    """Start a run that was held back, unless it has expired, or continue one that is retried."""
    if state.retried:
        return _resume_main(pipeline, state, entry.at), []
    expires_at = state.started.expires_at if state.started else None
    if expires_at is not None and entry.at >= expires_at:
        return [end_main(pipeline, "cancelled", entry.at, reason=EXPIRED)], []
    if state.is_queued:
        expiry = [] if expires_at is None else [AwaitStart(expires_at, expires_at)]
        return [], [AwaitSlot(), *expiry]
    if state.forked:
        return continue_fork(pipeline, state, state.forked, entry.at), []
    return _enter_main(pipeline, entry.at), []


def _enter_main(pipeline: CompiledPipeline, at: int) -> list[FollowUp]:
    first = pipeline.firsts["main"]
    return [EnterStep(at, first)] if first else []


# -- a retry ----------------------------------------------------------------------------------------------------


def _retry_run(pipeline: CompiledPipeline, state: State, entry: entries.RunRetried) -> Consequences:
    """Continue a run where it failed, when it has a slot again. If that is impossible, it fails again."""
    at = entry.at
    if any(undo.passes for undo in state.undos.values()):
        return [entries.MainEnded(at=at, status="failed", error=UNDONE)], []
    voided = void_steps(pipeline, state, "", pipeline.firsts["cleanup"], at)
    if state.started and state.started.error:
        return [*voided, end_main(pipeline, "failed", at, error=state.started.error)], []
    if state.is_queued:
        return voided, [AwaitSlot()]
    return [*voided, *_resume_main(pipeline, state, at)], []


def _resume_main(pipeline: CompiledPipeline, state: State, at: int) -> list[FollowUp]:
    first = pipeline.firsts["main"]
    return resume_sequence(pipeline, state, "", first, at) if first else []


# -- pauses -----------------------------------------------------------------------------------------------------


def _refuse_input(pipeline: CompiledPipeline, state: State, entry: entries.InputRefused) -> Consequences:
    reason = f"step {entry.path} cannot continue with its recorded input: {entry.reason}"
    return [entries.RunPaused(at=entry.at, reason=reason)], []


def _stop_recovery(pipeline: CompiledPipeline, state: State, entry: entries.RecoveryStopped) -> Consequences:
    reason = f"recovered {entry.count} times without any progress: it may be what kills the process"
    return [entries.RunPaused(at=entry.at, reason=reason)], [Abandon(path) for path in state.active]


# -- the end ----------------------------------------------------------------------------------------------------


def _cancel_run(pipeline: CompiledPipeline, state: State, entry: entries.CancelRequested) -> Consequences:
    return [announce_end(entry.at, "cancelled", reason=entry.reason)], []


def _pass_deadline(pipeline: CompiledPipeline, state: State, entry: entries.DeadlinePassed) -> Consequences:
    """The run's timeout announces the end of the main part; the deadline of a cleanup ends the cleanup at once."""
    at = entry.at
    if state.main is None and state.ending is None:
        return [
            announce_end(at, "failed", error=Failure.of("timeout", "run_timeout", "the run's timeout has passed"))
        ], []
    failure = Failure.of("timeout", "cleanup_timeout", "the cleanup's deadline has passed")
    ends, effects = cut_off_steps(pipeline, state, at)
    if state.main is None and state.ending:
        ending = state.ending
        end = end_main(pipeline, ending.status, at, error=ending.error, reason=ending.reason, cleanup_error=failure)
        return [*ends, end], effects
    return [*ends, entries.RunFinished(at=at, status=get_main_status(state), cleanup_error=failure)], effects


def _follow_announcement(pipeline: CompiledPipeline, state: State, entry: entries.MainEnding) -> Consequences:
    """Cancel what is running; if nothing is, end the main part."""
    if state.main is not None:
        return NONE
    if not state.active and not state.open:
        return [finish_main(pipeline, state, entry.at, entry.status)], []
    ends, effects = interrupt_steps(pipeline, state, "", entry.at)
    return [*ends, *release_fork(state, entry.at)], effects


def _follow_main(pipeline: CompiledPipeline, state: State, entry: entries.MainEnded) -> Consequences:
    first = pipeline.firsts["cleanup"]
    if entry.deadline is None or first is None:
        return [entries.RunFinished(at=entry.at, status=entry.status, cleanup_error=entry.cleanup_error)], []
    return [EnterStep(entry.at, first)], []


def _report_end(pipeline: CompiledPipeline, state: State, entry: entries.RunFinished) -> Consequences:
    """Report the run's end to the run that called it."""
    parent = state.started.parent if state.started else None
    if parent is None or parent.is_detached:
        return NONE
    outputs = state.main.outputs.load() if state.main else None
    error = to_document(state.error) if state.error else None
    data: JSON = {"path": parent.path, "run": state.run, "status": entry.status, "outputs": outputs, "error": error}
    message: Effect = PostMessage(parent.run, "child", Value.of(data))
    return [], [message]


RUN_DECISIONS: dict[type, Decide] = {
    entries.RunStarted: _start_run,
    entries.StartDue: _start_held_run,
    entries.SlotGranted: _start_held_run,
    entries.RunRetried: _retry_run,
    entries.InputRefused: _refuse_input,
    entries.RecoveryStopped: _stop_recovery,
    entries.CancelRequested: _cancel_run,
    entries.DeadlinePassed: _pass_deadline,
    entries.MainEnding: _follow_announcement,
    entries.MainEnded: _follow_main,
    entries.RunFinished: _report_end,
}
