"""Rate limits: token buckets in memory, one for each name."""

import ipaddress
import math
from collections.abc import Callable

from starlette.types import Scope

from durable.limit import Rate

MOST_NAMES = 10_000
"""The names that one limiter remembers. The one that was not used for longest is forgotten first."""

MILLISECOND, SECOND = 10**6, 10**9
"""In nanoseconds."""


class RateLimiter:
    """A bucket for each name: a burst of the rate's number, and as many again in every period. Without a rate nothing
    is limited. `clock` returns monotonic nanoseconds."""

    def __init__(self, rate: Rate | None, clock: Callable[[], int], *, most: int = MOST_NAMES) -> None:
        self._rate = rate
        self._clock = clock
        self._most = most
        self._full_at: dict[str, int] = {}
        """When each bucket is full again, in the order of their last use."""

    def __len__(self) -> int:
        """The names that it remembers."""
        return len(self._full_at)

    def take(self, name: str) -> int:
        """Take a token from the bucket of a name. Returns 0, or the seconds until there is one if the bucket is
        empty."""
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
        """Take a token from the bucket of the network that a request comes from; as `take`."""
        client = scope["client"]
        return self.take(find_network(client[0]) if client else "")


def find_network(address: str) -> str:
    """The name of an address's bucket: the address, or the /64 network of an IPv6 address, since one client can use all
    addresses of it."""
    if ":" not in address:
        return address
    try:
        known = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(known) >> 64 << 64))
