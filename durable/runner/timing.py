"""Timers and countdowns that a change of the wall clock does not disturb.

Due times are stored as wall-clock milliseconds. But a delay, a back-off, an interval or a timeout lasts as long as was
decided: in memory the monotonic clock counts it, and after a takeover it lasts at most as long as was decided. Only
`wait.until` follows the wall clock.
"""

import asyncio
from collections.abc import Callable

STEP = 2_000
"""Milliseconds by which the wall clock must differ from the time that passed to count as set; less is a correction."""

LOOK = 5.0
"""Seconds after which a wait that follows the wall clock reads it again, since it may have been set."""


class Countdown:
    """The end of a wait that began at `decided_at` and is `due`, both by the wall clock (ms) as it was then. `early` is
    how much the clock was set back while the wait was out of memory."""

    def __init__(self, due: int, decided_at: int, now: int, early: int = 0) -> None:
        left = max(0, min(due - decided_at, due - early - now))
        self._ends = asyncio.get_running_loop().time() + left / 1000

    @property
    def seconds_left(self) -> float:
        """Seconds that are left; 0 when it is over."""
        return max(0.0, self._ends - asyncio.get_running_loop().time())

    def compute_due(self, now: int) -> int:
        """When it is over, by the present wall clock."""
        return now + round(self.seconds_left * 1000)


class RunTimer:
    """Calls `then` when a wait is over: the end of a span of time, or a moment by the wall clock (ms)."""

    def __init__(self, wait: Countdown | int, now: Callable[[], int], then: Callable[[], None]) -> None:
        self.countdown = wait if isinstance(wait, Countdown) else None
        self._moment = None if isinstance(wait, Countdown) else wait
        self._now = now
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(self._find_delay(), self._look)

    def cancel(self) -> None:
        """Stop it."""
        self._handle.cancel()
        self._then = _do_nothing  # a reference cycle with the run would leave both to the garbage collector

    def _look(self) -> None:
        if self._find_delay() > 0 and self._moment is not None:
            self._handle = self._loop.call_later(self._find_delay(), self._look)
        else:
            then, self._then = self._then, _do_nothing
            then()

    def _find_delay(self) -> float:
        if self.countdown:
            return self.countdown.seconds_left
        left = (self._moment or 0) - self._now()
        return min(left / 1000, LOOK)  # a clock that is set sends no notification


def _do_nothing() -> None:
    """Do nothing."""


class ClockWatch:
    """Detects that the wall clock was set, by comparing the time that passed on it with a monotonic clock (seconds)."""

    def __init__(self, now: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._now = now
        self._monotonic = monotonic
        self._last = now(), monotonic()

    def take_step(self) -> int:
        """By how much (ms) the clock was set since the last look: negative if it was set back, 0 if it was not set."""
        (wall, passed), self._last = self._last, (self._now(), self._monotonic())
        step = self._last[0] - wall - round((self._last[1] - passed) * 1000)
        return step if abs(step) > STEP else 0
