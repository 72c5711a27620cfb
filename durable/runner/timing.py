"""How long runs wait, whatever happens to the wall clock meanwhile.

Due times are stored as wall-clock milliseconds. But a delay, a back-off, an interval or a timeout lasts as long as was
decided: in memory it is counted by the monotonic clock, and after a takeover never longer than it was decided for. Only
`wait.until` follows the wall clock.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

STEP = 2_000
"""Milliseconds by which the wall clock must differ from the time that passed to count as set; less is a correction."""

LOOK = 5.0
"""Seconds after which a wait that follows the wall clock looks at it again: it may have been set."""


class Countdown:
    """The end of a wait that began at `decided_at` and is `due`, both by the wall clock (ms) as it was then. `early` is
    how much the clock was set back while the wait was out of memory."""

    def __init__(self, due: int, decided_at: int, now: int, early: int = 0) -> None:
        left = max(0, min(due - decided_at, due - early - now))
        self._ends = asyncio.get_running_loop().time() + left / 1000

    @property
    def seconds_left(self) -> float:
        """Seconds that are left, 0 once it is over."""
        return max(0.0, self._ends - asyncio.get_running_loop().time())

    def due(self, now: int) -> int:
        """When it is over, by the present wall clock."""
        return now + round(self.seconds_left * 1000)


Wait: TypeAlias = Countdown | int | None
"""Until when something waits: the end of a span of time, a moment by the wall clock (ms), or not at all."""


class ClockWatch:
    """Notices that the wall clock was set: it compares the time that passed by it with that of a monotonic clock
    (seconds)."""

    def __init__(self, now: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._now = now
        self._monotonic = monotonic
        self._last = now(), monotonic()

    def take_step(self) -> int:
        """By how much (ms) the clock was set since the last look: negative if it was set back, 0 if it was not set."""
        (wall, passed), self._last = self._last, (self._now(), self._monotonic())
        step = self._last[0] - wall - round((self._last[1] - passed) * 1000)
        return step if abs(step) > STEP else 0
