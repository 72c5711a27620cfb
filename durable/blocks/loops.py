"""What `foreach` and `repeat` have in common: one branch, performed again and again, each time under a number."""

from collections.abc import Iterator
from typing import Any

from durable.effects import BeginBranch, FollowUp
from durable.history.entries import TimerSet
from durable.history.state import State
from durable.steps.resolved import Steps

BURST = 500
"""How many decisions a loop takes in a row before it pauses for a moment, so that no commit grows too large."""

LOOP = "steps"
"""The label of the one branch."""


def list_branches(step: Any) -> Iterator[tuple[str, Steps]]:
    yield LOOP, step.steps


def begin_next(state: State, path: str, at: int, due: int) -> list[FollowUp]:
    """Begin the next item or turn, now or when it is due."""
    if due == at and state.since_fact < BURST:
        return [BeginBranch(at, path, LOOP)]
    return [] if path in state.active else [TimerSet(at=at, path=path, due=due)]
