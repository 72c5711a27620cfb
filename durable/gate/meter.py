"""A rate as a state machine: how many requests may start now, and when the next one may.

It is a token bucket, computed as a generic cell rate algorithm (ITU-T I.371). A tenth of the number may start at once,
and the others are spread evenly, so that no window of the rate's period, wherever it begins, has more than the number.

Requests do not arrive at the intervals at which they start: the first ones need a connection, and may meet those that
start later. Therefore the window is a little longer than the period, and requests are counted a second time when they
are sent; the next one starts when both counts permit it. A connection that is always busy gets about nine tenths of its
rate.
"""

from dataclasses import dataclass

from durable.limit import Rate

MILLISECOND, SECOND = 10**6, 10**9
"""In nanoseconds."""

BURST_SHARE = 10
"""The number of a rate, divided by this, may start at once."""

MARGIN_SHARE = 20
LONGEST_MARGIN = SECOND
"""The window is longer than the period by the period divided by `MARGIN_SHARE`, but at most by this."""


@dataclass(slots=True)
class Meter:
    """What is left of a rate.

    With a burst of B, an interval of I and a window of W = I * (number - B + 1), at most `number` requests start in any
    time shorter than W: the last of n starts at least (n - B) * I after the first.
    """

    rate: Rate
    full_at: int = 0
    """When the whole burst is available again, by the requests that started."""
    full_after: int = 0
    """The same by the requests that were sent."""

    @property
    def burst(self) -> int:
        return max(1, self.rate.number // BURST_SHARE)

    @property
    def interval(self) -> int:
        """The time after which another request may start if the burst is used up."""
        period = self.rate.period * MILLISECOND
        window = period + min(period // MARGIN_SHARE, LONGEST_MARGIN)
        return -(-window // (self.rate.number - self.burst + 1))

    @property
    def free_at(self) -> int:
        """When the next request may start; it may be in the past."""
        return max(self.full_at, self.full_after) - (self.burst - 1) * self.interval

    def count_free(self, now: int) -> int:
        """Return how many requests may start now."""
        full_at = max(self.full_at, self.full_after)
        return max(0, self.burst - -(-max(0, full_at - now) // self.interval))

    def take(self, now: int) -> None:
        """Count a request that starts now."""
        self.full_at = max(self.full_at, now) + self.interval

    def note_sent(self, now: int) -> None:
        """Count a request that is sent now."""
        self.full_after = max(self.full_after, now) + self.interval

    def exhaust(self, now: int) -> None:
        """Use up the burst."""
        self.full_at = max(self.full_at, now + (self.burst - 1) * self.interval)
