"""How often somebody may come: a bucket for each name, in memory, that empties at once and fills up steadily."""

import ipaddress
import math
import re
from collections.abc import Callable
from typing import NamedTuple, Self

from starlette.types import Scope

from durable.durations import parse_duration

MOST_NAMES = 10_000
"""Names that one limiter remembers; the one that was quiet for longest is forgotten first."""

MILLISECOND, SECOND = 10**6, 10**9
"""In nanoseconds."""

_RATE = re.compile(r"([1-9][0-9]{0,8})/([0-9]+[a-z]+)")


class Rate(NamedTuple):
    """So many at once, and as many again in every period (ms)."""

    number: int
    period: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `COUNT/DURATION`; raises ValueError."""
        match = _RATE.fullmatch(text)
        if not match or not (period := parse_duration(match[2])):
            raise ValueError(f'{text!r} should be a number and a duration, such as "600/1m", or "none"')
        return cls(int(match[1]), period)


class RateLimiter:
    """Holds everybody to a rate; None lets all pass. `clock` gives monotonic nanoseconds."""

    def __init__(self, rate: Rate | None, clock: Callable[[], int], *, most: int = MOST_NAMES) -> None:
        self._rate = rate
        self._clock = clock
        self._most = most
        self._full_at: dict[str, int] = {}
        """When each bucket is full again, the one that was used last at the end."""

    def __len__(self) -> int:
        """The names that it remembers."""
        return len(self._full_at)

    def take(self, name: str) -> int:
        """Take one from the name's bucket; returns 0, or, if it is empty, the seconds until there is one again."""
        if self._rate is None:
            return 0
        now, period = self._clock(), self._rate.period * MILLISECOND
        full_at = max(self._full_at.pop(name, now), now)
        taken_at = full_at + period // self._rate.number
        wait = max(0, taken_at - now - period)
        self._full_at[name] = full_at if wait else taken_at
        if len(self._full_at) > self._most:
            del self._full_at[next(iter(self._full_at))]
        return math.ceil(wait / SECOND)

    def take_for(self, scope: Scope) -> int:
        """Take one from the bucket of the network that a request comes from; as `take`."""
        client = scope["client"]
        return self.take(find_network(client[0]) if client else "")


def find_network(address: str) -> str:
    """What an address counts as: itself, or, of IPv6, the network of 2^64 addresses that one sender can choose from."""
    if ":" not in address:
        return address
    try:
        known = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(known) >> 64 << 64))
