"""A limit on runs that start each other by `flow.call` and `flow.emit`, since they may form a loop."""

from durable.history.entries import StepFailed
from durable.history.words import Failure

DEPTH_LIMIT = 16
"""How many calls and events may lead from one run to the next."""


def refuse_depth(path: str, at: int) -> StepFailed:
    message = f"runs start each other more than {DEPTH_LIMIT} deep; do they form a loop?"
    return StepFailed(at=at, path=path, error=Failure.of("invalid", "too_deep", message, path))
