"""Causes: why a run failed, is paused, or does not go on now, derived from its state. The run's row keeps the cause, so
that a list needs no history."""

from durable.blocks.pages import locate_attempt
from durable.error_key import make_error_key
from durable.history.state import State, StepState
from durable.history.words import Failure, RunStatus
from durable.path import find_step_path
from durable.steps.node import ActionNode, CompiledPipeline
from durable.units import Cause, CauseKind, RunView

MESSAGE_LENGTH = 200
"""The maximum number of characters of a cause's message, and of who is asked."""


def describe_run(pipeline: CompiledPipeline, state: State) -> RunView:
    """Return the columns of a run's row. Only a run that stands still, or performs several things, has a cause: the
    appends of a run that goes on are most of all appends, and cost nothing more."""
    status, finished = state.status, state.finished
    cause = failure = None
    if status != "completed" and (status != "running" or len(state.active) > 1 or state.main or state.ending):
        cause, failure = _find_cause(pipeline, state, status)
    return RunView(
        status,
        state.reason,
        state.due,
        finished.at if finished else None,
        cause,
        make_error_key(failure, cause.action) if cause and failure and status in ("failed", "paused") else None,
    )


def _find_cause(pipeline: CompiledPipeline, state: State, status: RunStatus) -> tuple[Cause | None, Failure | None]:
    """Return the cause, and the failure that it tells of."""
    match status:
        case "failed":
            kind: CauseKind = "failed" if state.steps else "unstarted"
            return _explain_failure(pipeline, state, kind, state.error or Failure())
        case "paused":
            return _explain_pause(pipeline, state)
        case "queued":
            return _explain_queue(state), None
        case "waiting" | "running":
            error = state.error or (state.ending.error if state.ending else None)
            if error and not state.active:
                return _explain_failure(pipeline, state, "cleanup", error)
            found = _explain_wait(pipeline, state)
            return (found, None) if found or not error else _explain_failure(pipeline, state, "cleanup", error)
    return None, None


def _explain_failure(
    pipeline: CompiledPipeline, state: State, kind: CauseKind, error: Failure
) -> tuple[Cause, Failure]:
    step = state.steps.get(find_step_path(error.step or ""))
    cause = Cause(
        kind,
        error.step,
        error.error_class,
        error.code,
        _find_action(pipeline, error.step),
        shorten_message(error.message),
        error.attempt,
        lost=step.lost if step else 0,
    )
    return cause, error


def _explain_pause(pipeline: CompiledPipeline, state: State) -> tuple[Cause, Failure | None]:
    (path, reason), *others = state.pauses.items()
    step = state.steps.get(path)
    if step is None:
        return Cause("stopped", message=shorten_message(reason), others=len(others)), None
    error, node = step.error or Failure(), pipeline.actions[path]
    place, attempt = locate_attempt(node, step, path, step.attempt)
    cause = Cause(
        "uncertain" if step.status == "uncertain" else "exhausted",
        place,
        error.error_class,
        error.code,
        node.step.use,
        shorten_message(error.message),
        attempt,
        lost=step.lost,
        others=len(others),
    )
    return cause, step.error


def _explain_queue(state: State) -> Cause:
    started = state.started
    if started and started.held_until is not None and not state.is_due and not state.retried:
        return Cause("start", due=started.held_until)
    return Cause("slot", due=state.start_due, target=(started.queued_for or started.slot) if started else None)


def _explain_wait(pipeline: CompiledPipeline, state: State) -> Cause | None:
    """Return what the step waits for that goes on first; None if no step waits."""
    first, earliest, waiting = "", None, 0
    for path in state.active:  # a loop: a run may have thousands of waiting steps, and this is part of each append
        step = state.steps[path]
        if step.status == "waiting":
            waiting += 1
            due = step.due
            if not first or (due is not None and (earliest is None or due < earliest)):
                first, earliest = path, due
    return _explain_step(pipeline, first, state.steps[first], waiting - 1) if first else None


def _explain_step(pipeline: CompiledPipeline, path: str, step: StepState, others: int) -> Cause:
    node = pipeline.nodes[path]
    if not isinstance(node, ActionNode):
        return Cause("timer", path, due=step.due, others=others)
    if step.child:
        return Cause("call", path, due=step.due, target=step.child, others=others)
    if step.awaits:
        return _explain_await(node, path, step, others)
    error = step.error or Failure()
    place, attempt = locate_attempt(node, step, path, step.attempt)
    if step.pages is not None and step.error is None:
        return Cause("page", place, due=step.due, others=others)
    return Cause(
        "retry",
        place,
        error.error_class,
        error.code,
        node.step.use,
        shorten_message(error.message),
        attempt,
        node.step.retry.max_attempts + attempt - step.counted_attempts,
        step.lost,
        step.due,
        others=others,
    )


def _explain_await(node: ActionNode, path: str, step: StepState, others: int) -> Cause:
    first, *more = step.awaits
    dues = [each.due for each in step.awaits]  # the times that it waits for; any other is its timeout
    return Cause(
        "any" if more else first.kind,
        path,
        due=step.due,
        target=None if more else first.type,
        match=None if more else first.match,
        to=None if more else _find_people(step),
        awaits=tuple(each.kind for each in step.awaits) if more else (),
        times_out=None if step.due is None or step.due in dues else node.step.times_out,
        others=others,
    )


def _find_people(step: StepState) -> str | None:
    """Return who is asked; None if the input is not in memory."""
    given = step.input.load() if step.input.is_loaded else None
    to = given.get("to") if isinstance(given, dict) else None
    people = [str(each) for each in (to if isinstance(to, list) else [to]) if each is not None]
    return shorten_message(", ".join(people)) or None


def _find_action(pipeline: CompiledPipeline, path: str | None) -> str | None:
    try:
        node = pipeline.nodes[find_step_path(path)] if path else None
    except KeyError:  # a step of another version of the file
        return None
    return node.step.use if isinstance(node, ActionNode) else None


def shorten_message(message: str | None) -> str | None:
    """Return a message in one line, of limited length. It is cut between two words: half of a secret or of a link would
    not be found by a redactor."""
    if message is None:
        return None
    text = " ".join(message[: 2 * MESSAGE_LENGTH].split())
    if len(text) <= MESSAGE_LENGTH and len(message) <= 2 * MESSAGE_LENGTH:
        return text
    return f"{text[:MESSAGE_LENGTH].rpartition(' ')[0]} …"
