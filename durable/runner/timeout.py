"""The timeout of an attempt, which is suspended while the attempt waits for one of Waypost's own limits."""

import asyncio
from collections.abc import Callable


class SuspendableTimeout:
    """Calls `expire` once, after this many seconds (None: never) that were not suspended. `waits` are the current
    reasons of the suspension; several parts of an action may wait at the same time."""

    def __init__(self, seconds: float | None, expire: Callable[[], None]) -> None:
        self.waits: list[str] = []
        self.is_over = False
        self._expire = expire
        self._left = seconds or 0.0
        loop = asyncio.get_running_loop()
        self._handle = None if seconds is None else loop.call_later(seconds, expire)

    def suspend(self, what: str) -> None:
        self.waits.append(what)
        if self._handle and len(self.waits) == 1:
            self._left = max(0.0, self._handle.when() - asyncio.get_running_loop().time())
            self._handle.cancel()

    def resume(self, what: str) -> None:
        self.waits.remove(what)
        if self._handle and not self.waits:
            self._handle = asyncio.get_running_loop().call_later(self._left, self._expire)

    def cancel(self) -> None:
        """Stop permanently."""
        self.is_over = True
        self._expire = _do_nothing  # a reference cycle with the attempt would leave both to the garbage collector
        if self._handle:
            self._handle.cancel()
            self._handle = None


def _do_nothing() -> None:
    pass
