"""Attempts: what each of them that has ended means for its step, and what a person decides where nobody else can."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import get_args

from durable import retry
from durable.action import ActionError, Ending, ErrorClass
from durable.definition.definition import Definition
from durable.definition.node import ActionNode
from durable.definition.step import OnExhausted
from durable.effects import Consequences, FollowUp, Perform
from durable.expressions import ExpressionError
from durable.history.entries import (
    AttemptFailed,
    AttemptLost,
    RetryScheduled,
    RunPaused,
    StepCompleted,
    StepExhausted,
    StepFailed,
    StepResolved,
    StepUncertain,
)
from durable.history.state import State
from durable.history.words import Failure, SecretPlaceholder
from durable.scope import build_scope
from durable.values import JSON, NULL, NotJSON, Value

DETAILS_LIMIT = 8 * 1024
"""Bytes of `details` that a failure keeps in the history."""

RETRY_AFTER_LIMIT = 86_400 * 366
"""Seconds above which a service's `Retry-After` is nonsense."""


def build_attempt(definition: Definition, path: str, number: int, due: int) -> Perform:
    """That the attempt is to be performed."""
    return Perform(path, number, due, starts_durably=definition.action(path).spec.on_crash != "retry")


# -- how an attempt ended ---------------------------------------------------------------------------------------


def report_return(
    definition: Definition,
    state: State,
    path: str,
    attempt: int,
    output: JSON,
    *,
    encoded: Value | None = None,
    problem: str | None = None,
    started_at: int,
    at: int,
) -> StepCompleted | AttemptFailed:
    """The fact that an action returned; `encoded` is the output as JSON, if that is known. Where the output is unfit
    (`problem`, no JSON, or `keep` or `undo` fail on it), the effect is not repeated: the raw output is kept with the
    failure."""
    node = definition.action(path)
    raw = kept = NULL
    undo: Value | None = None
    secrets: tuple[SecretPlaceholder, ...] = ()
    what = "the action's output"
    try:
        raw = kept = encoded or Value.of(output)
        if problem:
            raise NotJSON(problem)
        if node.keep or node.undo:
            scope = build_scope(definition, state, path, output=output)
            what = "keep"
            kept = Value.of(node.keep.render(scope)[0]) if node.keep else raw
            what = "undo"
            undo, secrets = render_undo_input(node, scope)
    except (NotJSON, ExpressionError) as error:
        failure = Failure.of("invalid", "output", f"{what}: {error}", path, attempt)
        return AttemptFailed(
            at=at, path=path, attempt=attempt, started_at=started_at, error=failure, ending="answered", output=raw
        )
    return StepCompleted(
        at=at, path=path, attempt=attempt, started_at=started_at, output=kept, undo=undo, undo_secrets=secrets
    )


def render_undo_input(
    node: ActionNode, scope: Mapping[str, object]
) -> tuple[Value | None, tuple[SecretPlaceholder, ...]]:
    """What takes the effect of a step back is given; raises `ExpressionError` or `NotJSON`."""
    if node.undo is None:
        return None, ()
    rendered, secrets = node.undo.render(scope)
    return Value.of(rendered), secrets


def report_error(path: str, attempt: int, error: ActionError, *, started_at: int, at: int) -> AttemptFailed:
    """The fact that an attempt failed. What an action says of its error is taken as far as it makes sense."""
    failure = Failure.of(
        error.error_class if error.error_class in get_args(ErrorClass) else "internal",
        error.code,
        error.message,
        path,
        attempt,
        details=_limit_details(error.details),
        retry_after=_to_milliseconds(error.retry_after),
    )
    ending = error.ending if error.ending in get_args(Ending) else "unknown"
    return AttemptFailed(at=at, path=path, attempt=attempt, started_at=started_at, error=failure, ending=ending)


def _to_milliseconds(seconds: object) -> int | None:
    is_time = isinstance(seconds, int | float) and math.isfinite(seconds) and 0 <= seconds < RETRY_AFTER_LIMIT
    return int(seconds * 1000) if is_time else None  # type: ignore[operator]  # a number, by the line above


def _limit_details(details: JSON) -> Value:
    try:
        value = Value.of(details)
    except NotJSON as error:
        value = Value.of(f"the details are no JSON: {error}")
    if value.size <= DETAILS_LIMIT:
        return value
    return Value.of(bytes(value.data)[:DETAILS_LIMIT].decode(errors="ignore") + " …")


# -- what it means ----------------------------------------------------------------------------------------------


def follow_failure(definition: Definition, state: State, entry: AttemptFailed) -> Consequences:
    node, path, at = definition.action(entry.path), entry.path, entry.at
    if entry.output is not None:
        return [StepFailed(at=at, path=path, error=entry.error, output=entry.output)], []
    if entry.ending == "unknown" and node.spec.on_crash == "park":
        return _park_step(path, entry.attempt, entry.error, at), []
    policy = node.spec.retry
    attempts = entry.attempt - state.steps[path].crashes
    given_up = entry.ending == "unknown" and node.spec.on_crash == "fail"
    if given_up or not retry.allows_retry(policy, attempts, entry.error.error_class):
        return _exhaust_attempts(node.spec.on_exhausted, entry), []
    fraction = retry.compute_jitter(state.run, path, entry.attempt)
    due = at + retry.compute_delay(policy, attempts, fraction, entry.error.retry_after)
    return [RetryScheduled(at=at, path=path, attempt=entry.attempt + 1, due=due)], []


def follow_loss(definition: Definition, state: State, entry: AttemptLost) -> Consequences:
    path, at = entry.path, entry.at
    match definition.action(path).spec.on_crash:
        case "park":
            return _park_step(path, entry.attempt, entry.error, at), []
        case "fail":
            return [StepFailed(at=at, path=path, error=entry.error)], []
        case "retry":
            return [RetryScheduled(at=at, path=path, attempt=entry.attempt + 1, due=at)], []


def _exhaust_attempts(choice: OnExhausted, entry: AttemptFailed) -> list[FollowUp]:
    """No attempt is left."""
    path, at = entry.path, entry.at
    if choice == "fail":
        return [StepFailed(at=at, path=path, error=entry.error)]
    reason = f"step {path} failed in attempt {entry.attempt}, the last: {entry.error.message}"
    return [
        StepExhausted(at=at, path=path, attempt=entry.attempt, error=entry.error),
        RunPaused(at=at, path=path, reason=reason),
    ]


def _park_step(path: str, attempt: int, failure: Failure, at: int) -> list[FollowUp]:
    reason = f"step {path} is uncertain: nobody knows whether attempt {attempt} took effect ({failure.message})"
    return [
        StepUncertain(at=at, path=path, attempt=attempt, error=failure),
        RunPaused(at=at, path=path, reason=reason),
    ]


# -- what a person says of it -----------------------------------------------------------------------------------


def resolve_step(definition: Definition, state: State, entry: StepResolved) -> Consequences:
    """Go on as a person decided."""
    path, at = entry.path, entry.at
    step = state.steps[path]
    match entry.verdict:
        case "retry":
            return [RetryScheduled(at=at, path=path, attempt=step.attempt + 1, due=at)], []
        case "failed":
            message = entry.reason or (step.error.message if step.error else "a person said so")
            failure = Failure.of(step.error.error_class if step.error else None, "resolved_failed", message, path)
            return [StepFailed(at=at, path=path, error=failure)], []
        case "completed":
            return [_complete_step(definition, state, entry)], []


def _complete_step(definition: Definition, state: State, entry: StepResolved) -> StepCompleted:
    """The checkpoint that a person gives; an undo that cannot be made of it is told of when it is asked for."""
    path, node = entry.path, definition.action(entry.path)
    undo: Value | None = None
    secrets: tuple[SecretPlaceholder, ...] = ()
    if node.undo:
        with suppress(ExpressionError, NotJSON):
            undo, secrets = render_undo_input(node, build_scope(definition, state, path, output=entry.output.load()))
    attempt = state.steps[path].attempt
    return StepCompleted(at=entry.at, path=path, attempt=attempt, output=entry.output, undo=undo, undo_secrets=secrets)
