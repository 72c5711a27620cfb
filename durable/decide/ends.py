"""How a run ends: by its last step, by a failure, early by a cancel or a timeout; and the cleanup that follows.

Whatever ends the main part early is announced first (`MainEnding`); then what is under way ends, each `finally` is
performed, and when the last of it is over the main part has ended. A part ends once.
"""

from durable.definition.definition import Definition
from durable.durations import parse_duration
from durable.effects import Abandon, AwaitSlot, AwaitStart, Consequences, Effect, EnterStep, FollowUp, PostMessage
from durable.expressions import ExpressionError
from durable.history.entries import (
    DeadlinePassed,
    MainEnded,
    MainEnding,
    RunFinished,
    SlotGranted,
    StartDue,
    StepCancelled,
    StepUncertain,
)
from durable.history.state import State
from durable.history.words import EndStatus, Failure
from durable.messages import CancelMessage, ChildMessage, encode_message
from durable.scope import build_scope, to_document
from durable.values import NULL, NotJSON, Value

CLEANUP_TIMEOUT = parse_duration("1h")
EXPIRED = "expired"
"""The reason of a run that did not begin in time."""


# -- beginning --------------------------------------------------------------------------------------------------


def begin_held_run(definition: Definition, state: State, entry: StartDue | SlotGranted) -> Consequences:
    """The turn of a run has come that was held back."""
    expires_at = state.started.expires_at if state.started else None
    if expires_at is not None and entry.at >= expires_at:
        return [end_main(definition, "cancelled", entry.at, reason=EXPIRED)], []
    if state.is_queued:
        expiry = [] if expires_at is None else [AwaitStart(expires_at, expires_at)]
        return [], [AwaitSlot(), *expiry]
    return enter_main(definition, entry.at), []


def enter_main(definition: Definition, at: int) -> list[FollowUp]:
    """The beginning of the main part."""
    first = definition.first("main")
    return [EnterStep(at, first)] if first else []


# -- the main part ----------------------------------------------------------------------------------------------


def finish_main(
    definition: Definition, state: State, at: int, status: EndStatus, error: Failure | None = None
) -> MainEnded:
    """The main part has come to its end, by its last step or because it was to end."""
    if state.ending:
        ending = state.ending
        return end_main(definition, ending.status, at, error=ending.error, reason=ending.reason)
    if status == "failed":
        return end_main(definition, "failed", at, error=error)
    return _complete_main(definition, state, at)


def _complete_main(definition: Definition, state: State, at: int) -> MainEnded:
    outputs = NULL
    if definition.outputs is not None:
        try:
            outputs = Value.of(definition.outputs.render(build_scope(definition, state))[0])
        except (ExpressionError, NotJSON) as error:
            failure = Failure.of("invalid", "outputs", f"outputs: {error}")
            return end_main(definition, "failed", at, error=failure)
    return MainEnded(at=at, status="completed", outputs=outputs)


def end_main(
    definition: Definition,
    status: EndStatus,
    at: int,
    *,
    error: Failure | None = None,
    reason: str | None = None,
    cleanup_error: Failure | None = None,
) -> MainEnded:
    has_cleanup = status == "failed" and definition.first("cleanup") is not None
    deadline = at + CLEANUP_TIMEOUT if has_cleanup else None
    return MainEnded(at=at, status=status, error=error, reason=reason, deadline=deadline, cleanup_error=cleanup_error)


def announce_end(at: int, status: EndStatus, *, error: Failure | None = None, reason: str | None = None) -> MainEnding:
    """The announcement that the main part is to end."""
    return MainEnding(at=at, status=status, error=error, reason=reason, deadline=at + CLEANUP_TIMEOUT)


def follow_announcement(definition: Definition, state: State, entry: MainEnding) -> Consequences:
    """End what is under way; without that the main part is over."""
    if not state.active and not state.open:
        return [finish_main(definition, state, entry.at, entry.status)], []
    return interrupt_steps(definition, state, "", entry.at)


def follow_main(definition: Definition, state: State, entry: MainEnded) -> list[FollowUp]:
    first = definition.first("cleanup")
    if entry.deadline is None or first is None:
        return [RunFinished(at=entry.at, status=entry.status, cleanup_error=entry.cleanup_error)]
    return [EnterStep(entry.at, first)]


# -- the cleanup ------------------------------------------------------------------------------------------------


def finish_cleanup(state: State, at: int, status: EndStatus, error: Failure | None = None) -> RunFinished:
    """`on_failure` is over; if it failed itself, that is noted and nothing follows."""
    if status == "failed":
        return RunFinished(at=at, status="failed", cleanup_error=error)
    return RunFinished(
        at=at, status=_find_main_status(state), cleanup_error=state.main.cleanup_error if state.main else None
    )


def _find_main_status(state: State) -> EndStatus:
    return state.main.status if state.main else "failed"


# -- early ends -------------------------------------------------------------------------------------------------


def end_by_deadline(definition: Definition, state: State, entry: DeadlinePassed) -> Consequences:
    """The run's timeout ends the main part; the deadline of what cleans up ends that, whatever it is at."""
    at = entry.at
    if state.main is None and state.ending is None:
        return [announce_end(at, "failed", error=Failure.of("timeout", "run_timeout", "the run's timeout is over"))], []
    failure = Failure.of("timeout", "cleanup_timeout", "the cleanup's deadline is over")
    entries, effects = _cut_off(definition, state, at)
    if state.main is None and state.ending:
        ending = state.ending
        end = end_main(definition, ending.status, at, error=ending.error, reason=ending.reason, cleanup_error=failure)
        return [*entries, end], effects
    return [*entries, RunFinished(at=at, status=_find_main_status(state), cleanup_error=failure)], effects


def interrupt_steps(definition: Definition, state: State, root: str, at: int) -> Consequences:
    """End the steps that are under way inside a block or the run, but for cleanup; what may have taken effect and may
    not be repeated stays uncertain."""
    entries: list[FollowUp] = []
    effects: list[Effect] = []
    for path in state.list_interruptible(root):
        block = state.blocks.get(path)
        if block and block.running:
            continue  # it waits for a moment to begin its next item; those under way end it
        if _may_have_happened(definition, state, path):
            entries.append(_mark_uncertain(state, path, at))
        entries.append(StepCancelled(at=at, path=path))
        effects += abandon_step(state, path)
    return entries, effects


def _cut_off(definition: Definition, state: State, at: int) -> Consequences:
    """Stop whatever is under way; the end that follows closes it."""
    doubtful = [path for path in state.active if _may_have_happened(definition, state, path)]
    entries: list[FollowUp] = [_mark_uncertain(state, path, at) for path in doubtful]
    return entries, [effect for path in state.active for effect in abandon_step(state, path)]


def _may_have_happened(definition: Definition, state: State, path: str) -> bool:
    return state.steps[path].is_started and definition.action(path).spec.on_crash == "park"


def _mark_uncertain(state: State, path: str, at: int) -> StepUncertain:
    attempt = state.steps[path].attempt
    failure = Failure.of("crash", "interrupted", "the run ended during the attempt", path, attempt)
    return StepUncertain(at=at, path=path, attempt=attempt, error=failure)


def abandon_step(state: State, path: str) -> list[Effect]:
    """What stops a step that is under way: its attempt or wait, and the run that it called."""
    child = state.steps[path].child
    if child is None:
        return [Abandon(path)]
    reason = f"step {path} of {state.run}, which called it, has ended"
    return [Abandon(path), PostMessage(child, *encode_message(CancelMessage(reason)))]


# -- telling the caller -----------------------------------------------------------------------------------------


def report_end(state: State, entry: RunFinished) -> list[Effect]:
    """What the run that called this one is told of its end."""
    parent = state.started.parent if state.started else None
    if parent is None or parent.is_detached:
        return []
    outputs = state.main.outputs.load() if state.main else None
    error = to_document(state.error) if state.error else None
    message = ChildMessage(parent.path, state.run, entry.status, outputs, error)
    return [PostMessage(parent.run, *encode_message(message))]
