"""The pace of a bulk: at most so many items a second, and fewer while other work waits."""

import asyncio
from contextlib import suppress

from durable.engine import Engine

TICK = 0.02
"""Seconds between two groups of items. Measured with 100 retries a second beside 50 new runs: groups of ten, five times
less often, treble the 99th percentile of a webhook."""

MOST_SLOWDOWN = 10
"""How much longer the pause between two groups becomes at most: a bulk does not stand still if the service is busy for
hours."""

LATE = 0.03
"""Seconds by which the event loop is late when it has too much work."""

SLOW = 0.1
"""Seconds that a commit takes when too much is written, or the processor is busy."""


class Pace:
    """Waits before each group of at most `size` items. Work that just arrived comes first: while it has to wait, the
    pause doubles from group to group, and then halves again."""

    def __init__(self, rate: int, engine: Engine) -> None:
        self._engine = engine
        self.size = max(1, int(rate * TICK))
        self._interval = self._pause = self.size / rate
        self._longest = self._interval * MOST_SLOWDOWN
        self._next = 0.0
        self._is_slow = False

    async def wait(self, wake: asyncio.Event) -> None:
        """Return when the next group is due, or `wake` is set."""
        loop = asyncio.get_running_loop()
        at = max(self._next, loop.time())
        with suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), at - loop.time())
        if self._is_slow or loop.time() > at + LATE or self._engine.is_busy():
            self._pause = min(self._longest, self._pause * 2)
        else:
            self._pause = max(self._interval, self._pause / 2)
        self._next = at + self._pause

    def note_commit(self, seconds: float) -> None:
        """Note how long a commit took, for which other work waits as well."""
        self._is_slow = seconds > SLOW
