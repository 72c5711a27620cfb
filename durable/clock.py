"""The clock, and new ids. The core reads neither clock nor randomness, and takes them as arguments."""

import os
import time

from durable.ids import make_id


def now() -> int:
    """Return wall-clock milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class _Order:
    """Numbers the ids of one millisecond, so that they sort in the order in which they were made."""

    at = 0
    number = 0

    def next(self, at: int) -> int:
        self.number = self.number + 1 & 0xFFFF if at == self.at else 0
        self.at = at
        return self.number


_order = _Order()


def new_id(kind: str, at: int) -> str:
    """Return a new id: the time, 16 bits of order and 64 random bits."""
    return make_id(kind, at, _order.next(at) << 64 | int.from_bytes(os.urandom(8)))
