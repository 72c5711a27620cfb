"""Limits how many runs start each other through `flow.call` and `flow.emit`, since they may form a cycle."""

from durable.history.entries import StepFailed
from durable.history.words import Failure

DEPTH_LIMIT = 16
"""The maximum number of calls and events in a chain of runs."""


def refuse_depth(path: str, at: int) -> StepFailed:
    message = f"runs start each other more than {DEPTH_LIMIT} deep; do they form a loop?"
    return StepFailed(at=at, path=path, error=Failure.of("invalid", "too_deep", message, path))
