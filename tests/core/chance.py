"""Random choices for a test, drawn from bytes that Hypothesis generates and shrinks, or from a seeded generator.

Zero is always the simplest choice, so that examples shrink towards simple ones.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

CHOICES = st.binary(min_size=400, max_size=400)
"""What choices are made of: a byte each, and zero after the last."""

Choice = TypeVar("Choice")


class Chance:
    """A source of choices; `below` returns a number from 0 up to but not including a limit."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below

    @classmethod
    def of(cls, choices: bytes) -> "Chance":
        """Choices from given bytes."""
        left = iter(choices)
        return cls(lambda limit: next(left, 0) % limit)

    @classmethod
    def from_seed(cls, seed: int) -> "Chance":
        """Choices from a random generator, the same for the same seed."""
        return cls(random.Random(seed).randrange)

    def pick(self, options: Sequence[Choice]) -> Choice:
        """One of the options; the first is the simplest."""
        return options[self.below(len(options))]

    def once_in(self, times: int) -> bool:
        """True about once in `times` calls."""
        return self.below(times) == times - 1
