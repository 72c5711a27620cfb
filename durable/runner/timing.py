"""Timers and countdowns that do not depend on changes of the wall clock.

Due times are stored as wall-clock milliseconds. But a delay, a back-off, an interval or a timeout lasts as long as was
decided: in memory it is measured by the monotonic clock, and after a takeover it never lasts longer than was decided.
Only `wait.until` follows the wall clock.
"""

import asyncio
from collections.abc import Callable

STEP = 2_000
"""If the wall clock differs from the elapsed time by more milliseconds, it was set; less is a correction."""

LOOK = 5.0
"""Seconds after which a wait that follows the wall clock reads it again, because it may have been set."""


class Countdown:
    """The end of a wait: decided at `decided_at` and `due`, both in ms of the wall clock at that time. `early` is how
    much the clock was set back while the wait was not in memory."""

    def __init__(self, due: int, decided_at: int, now: int, early: int = 0) -> None:
        left = max(0, min(due - decided_at, due - early - now))
        self._ends = asyncio.get_running_loop().time() + left / 1000

    @property
    def seconds_left(self) -> float:
        """Return the remaining seconds; 0 if it is over."""
        return max(0.0, self._ends - asyncio.get_running_loop().time())

    def compute_due(self, now: int) -> int:
        """Return when it is over, by the current wall clock."""
        return now + round(self.seconds_left * 1000)


class RunTimer:
    """Calls `then` at the end of a wait: when a countdown is over, or at a time of the wall clock (ms)."""

    def __init__(self, wait: Countdown | int, now: Callable[[], int], then: Callable[[], None]) -> None:
        self.countdown = wait if isinstance(wait, Countdown) else None
        self._moment = None if isinstance(wait, Countdown) else wait
        self._now = now
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(self._find_delay(), self._look)

    def cancel(self) -> None:
        """Stop the timer."""
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
        return min(left / 1000, LOOK)  # there is no notification when the clock is set


def _do_nothing() -> None:
    """Do nothing."""


class ClockWatch:
    """Detects that the wall clock was set, by comparing it with a monotonic clock (seconds)."""

    def __init__(self, now: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._now = now
        self._monotonic = monotonic
        self._last = now(), monotonic()

    def take_step(self) -> int:
        """Return how far (ms) the clock was set since the last call: negative if it was set back, 0 if it was not
        set."""
        (wall, passed), self._last = self._last, (self._now(), self._monotonic())
        step = self._last[0] - wall - round((self._last[1] - passed) * 1000)
        return step if abs(step) > STEP else 0
