"""The common part of `foreach` and `repeat`: a single branch, performed repeatedly, each time under an index."""

from collections.abc import Iterator
from typing import Any

from durable.effects import BeginBranch, FollowUp
from durable.history.entries import BranchStarted, TimerSet
from durable.history.state import State
from durable.steps.resolved import Steps

BURST = 500
"""After this many decisions in a row a loop starts no further item or turn, but pauses briefly, so that no commit grows
too large, whatever is inside or around the loop."""

LOOP = "steps"
"""The label of the branch."""


def list_branches(step: Any) -> Iterator[tuple[str, Steps]]:
    yield LOOP, step.steps


def begin_next(state: State, path: str, at: int, due: int) -> list[FollowUp]:
    """Start the next item or turn, now or when it is due."""
    return [BeginBranch(at, path, LOOP)] if due == at else set_timer(state, path, at, due)


def set_timer(state: State, path: str, at: int, due: int) -> list[FollowUp]:
    """Set a timer with which the loop continues, unless it is already waiting."""
    return [] if path in state.active else [TimerSet(at=at, path=path, due=due)]


def begin_items(state: State, follow_up: BeginBranch) -> list[FollowUp]:
    """Start the remaining items or turns, but only as many as may start before the loop pauses."""
    path, at = follow_up.path, follow_up.at
    block = state.blocks[path]
    wanted = min(follow_up.count, block.count - block.begun) if block.count else follow_up.count
    count = max(0, min(wanted, BURST - state.since_fact))
    begun: list[FollowUp] = [
        BranchStarted(at=at, path=path, branch=follow_up.branch, index=block.begun + each) for each in range(count)
    ]
    return begun if count >= wanted else [*begun, *set_timer(state, path, at, at)]
