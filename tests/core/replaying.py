"""Folding a history again and checking that the core decides as it did."""

from collections import deque
from collections.abc import Sequence

from durable.decide import decide
from durable.definition import Definition
from durable.history import AnyEntry, State, apply


def replay(definition: Definition, run: str, history: Sequence[AnyEntry]) -> State:
    """The state of a history, every decision in it having been taken again; an AssertionError names the first that
    differs."""
    state = State(run=run)
    expected: deque[AnyEntry] = deque()
    for number, entry in enumerate(history, 1):
        if expected:
            decided = expected.popleft()
            assert entry == decided, f"entry {number} is {entry}, and the core now decides {decided}"
        apply(state, entry)
        decisions, _ = decide(definition, state, entry)
        expected.extend(decisions)
    return state
