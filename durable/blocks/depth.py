"""How many runs may start each other: a limit on `flow.call` and `flow.emit`, since they may form a circle."""

from durable.history.entries import StepFailed
from durable.history.words import Failure

DEPTH_LIMIT = 16
"""Calls and events that lead to each other."""


def refuse_depth(path: str, at: int) -> StepFailed:
    message = f"runs set each other going more than {DEPTH_LIMIT} deep; is there a circle?"
    return StepFailed(at=at, path=path, error=Failure.of("invalid", "too_deep", message, path))
