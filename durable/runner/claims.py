"""What makes something count once: the call or the event of a step, the answer to a wait."""

from durable.history import State
from durable.journal import Claim

CLAIM_TIME = 3_650 * 86_400_000
"""Milliseconds for which a claim is remembered: as long as any run can last."""


def step_key(state: State, path: str) -> str:
    """A step's name among those of all runs."""
    return f"{state.run}:{path}"


def claim_of(state: State, path: str, at: int) -> Claim:
    """What makes a call or an event of a step happen once."""
    return Claim("flow", step_key(state, path), at + CLAIM_TIME)


def answer_claim(run: str, path: str, at: int) -> Claim:
    """What makes the first answer to a wait the one that counts; to a `wait.any`, whichever of its waits it answers."""
    return Claim("answer", f"{run}:{path}", at + CLAIM_TIME)
