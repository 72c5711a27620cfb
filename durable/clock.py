"""Time and new names: what the shell takes from the machine and the core is given."""

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def now() -> int:
    """Wall-clock milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class _Order:
    """Numbers the names of one millisecond, so that they sort as they were made."""

    at = 0
    number = 0

    def next(self, at: int) -> int:
        self.number = self.number + 1 & 0xFFFF if at == self.at else 0
        self.at = at
        return self.number


_order = _Order()


def new_id(kind: str, at: int) -> str:
    """A new name like `run_01jd…`: 48 bits of time, 16 of order, 64 of chance, in an alphabet that sorts by time.

    The length is that of a ULID (https://github.com/ulid/spec), in lower case.
    """
    number = at << 80 | _order.next(at) << 64 | int.from_bytes(os.urandom(8))
    return f"{kind}_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


LAST_TIME = 2**48 - 1
"""Milliseconds that fit into a name."""


def first_id(kind: str, at: int) -> str:
    """What sorts before every name of the kind made at this time (ms) or later, and after every earlier one."""
    at = min(max(at, 0), LAST_TIME)
    return f"{kind}_" + "".join([_PAIRS[at >> shift & 1023] for shift in range(40, -1, -10)])
