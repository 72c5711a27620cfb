"""The pace of a bulk: at most so many items a second, and fewer while other work waits."""

import asyncio
from contextlib import suppress

from durable.engine import Engine

TICK = 0.1
"""Seconds between two groups of items. Items of a group share the commits of the journal."""

BUSY_PAUSE = 1.0
"""Seconds between two groups while the engine is busy: a bulk slows down, but does not stand still if the service is
busy for hours."""

LATE = 0.05
"""Seconds by which the event loop is late when it has too much work."""


class Pace:
    """Waits before each group of at most `size` items. Work that just arrived comes first: while it has to wait, the
    groups are a second apart."""

    def __init__(self, rate: int, engine: Engine) -> None:
        self._engine = engine
        self.size = max(1, int(rate * TICK))
        self._interval = self.size / rate
        self._next = 0.0
        self._is_late = False

    async def wait(self, wake: asyncio.Event) -> None:
        """Return when the next group is due, or `wake` is set."""
        loop = asyncio.get_running_loop()
        at = max(self._next, loop.time())
        if self._is_late or self._engine.is_busy():
            at = max(at, loop.time() + BUSY_PAUSE)
        with suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), at - loop.time())
        self._is_late = loop.time() > at + LATE
        self._next = at + self._interval
