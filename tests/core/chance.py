"""Where the choices of a test come from: from bytes that Hypothesis makes and shrinks, or from a seeded generator.

Zero is always the plainest choice, so that what Hypothesis shrinks becomes plain.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

CHOICES = st.binary(min_size=400, max_size=400)
"""What choices are made of: a byte each, and zero after the last."""

Choice = TypeVar("Choice")


class Chance:
    """Choices, one after the other; `below` gives a number from 0 to below a limit."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below

    @classmethod
    def of(cls, choices: bytes) -> "Chance":
        """Choices that somebody has made."""
        left = iter(choices)
        return cls(lambda limit: next(left, 0) % limit)

    @classmethod
    def seeded(cls, seed: int) -> "Chance":
        """Choices of a generator: the same for the same seed."""
        return cls(random.Random(seed).randrange)

    def pick(self, options: Sequence[Choice]) -> Choice:
        """One of them; the first is the plainest."""
        return options[self.below(len(options))]

    def once_in(self, times: int) -> bool:
        """True about once in so many times."""
        return self.below(times) == times - 1
