"""What makes something count once that a step sets going: its call, its event."""

from durable.history.state import State
from durable.units import DedupeKey


def make_step_key(state: State, path: str) -> str:
    """A step's name among those of all runs."""
    return f"{state.run}:{path}"


def make_dedupe_key(state: State, path: str, at: int) -> DedupeKey:
    """What makes a call or an event of a step happen once."""
    return DedupeKey.of_step("flow", state.run, path, at)
