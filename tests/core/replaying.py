"""Replay a history and check that the core makes the same decisions."""

from collections.abc import Sequence
from typing import get_args

from durable.decide.advance import Advance
from durable.definition import Definition
from durable.history.entries import AnyEntry, Fact
from durable.history.state import State

FACTS = get_args(Fact)


def check_decisions(definition: Definition, run: str, history: Sequence[AnyEntry]) -> State:
    """Replay a history with every decision made again, and return its state. An AssertionError names the first decision
    that differs."""
    state = State(run=run)
    number = 0
    while number < len(history):
        fact = history[number]
        assert isinstance(fact, FACTS), f"entry {number + 1} is {fact}, and the core now decides nothing there"
        advance = Advance(definition, state, fact)
        advance.follow()
        assert advance.entries, f"entry {number + 1} is {fact}, and the core now treats it as late"
        for decided in advance.entries:
            recorded = history[number] if number < len(history) else None
            assert recorded == decided, f"entry {number + 1} is {recorded}, and the core now decides {decided}"
            number += 1
    return state
