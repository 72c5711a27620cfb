"""Makes the facts that report an attempt: what its action returned, or how it failed."""

import math
from typing import get_args

from durable.action import ActionError, Ending, ErrorClass
from durable.blocks.pages import locate_attempt
from durable.blocks.undo import render_undo_input
from durable.expressions.expression import ExpressionError
from durable.history.entries import AttemptFailed, StepCompleted
from durable.history.state import State
from durable.history.words import Failure, SecretPlaceholder
from durable.scope import RunScope
from durable.steps.node import CompiledPipeline
from durable.values import JSON, NULL, NotJSON, Value

DETAILS_LIMIT = 8 * 1024
"""The maximum size, in bytes, of a failure's `details` in the history."""

RETRY_AFTER_LIMIT = 86_400 * 366
"""Seconds above which a service's `Retry-After` is ignored."""


def report_return(
    pipeline: CompiledPipeline,
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
    """Make the fact that an action returned. `encoded` is the output as JSON, if it was already encoded.

    If the output is invalid (`problem` is set, it is not JSON, or `keep` or `undo` fails on it), the effect is not
    repeated: the failure keeps the raw output.
    """
    node = pipeline.actions[path]
    raw = kept = NULL
    undo: Value | None = None
    secrets: tuple[SecretPlaceholder, ...] = ()
    what = "the action's output"
    try:
        raw = kept = encoded or Value.of(output)
        if problem:
            raise NotJSON(problem)
        if node.keep or node.undo:
            scope = RunScope(pipeline, state, path, output=output)
            what = "keep"
            kept = Value.of(node.keep.render(scope)[0]) if node.keep else raw
            what = "undo"
            undo, secrets = render_undo_input(node, scope, state.steps[path].input)
    except (NotJSON, ExpressionError) as error:
        place = locate_attempt(node, state.steps[path], path, attempt)
        failure = Failure.of("invalid", "output", f"{what}: {error}", *place)
        return AttemptFailed(
            at=at, path=path, attempt=attempt, started_at=started_at, error=failure, ending="answered", output=raw
        )
    return StepCompleted(
        at=at, path=path, attempt=attempt, started_at=started_at, output=kept, undo=undo, undo_secrets=secrets
    )


def report_error(
    path: str, attempt: int, error: ActionError, place: tuple[str, int] | None = None, *, started_at: int, at: int
) -> AttemptFailed:
    """Make the fact that an attempt failed. Invalid fields of the action's error are replaced or omitted. `place` is
    the path and the attempt that the failure names, if they are those of a page."""
    failure = Failure.of(
        error.error_class if error.error_class in get_args(ErrorClass) else "internal",
        error.code,
        error.message,
        *(place or (path, attempt)),
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
        value = Value.of(f"the details are not JSON: {error}")
    if value.size <= DETAILS_LIMIT:
        return value
    return Value.of(bytes(value.data)[:DETAILS_LIMIT].decode(errors="ignore") + " …")
