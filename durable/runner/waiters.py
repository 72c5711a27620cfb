"""Lets requests wait for the end or the answer of a run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Watch: TypeAlias = "asyncio.Future[None]"


class Waiters:
    """The waiting requests, by run; used from a single event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Watch]] = {}

    async def wait(self, run: str, seconds: float, is_vain: Callable[[], Awaitable[bool]]) -> None:
        """Return when the run is notified or the timeout has passed; immediately if `is_vain` says that there is
        nothing to wait for."""
        watch: Watch = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run, set()).add(watch)
        try:
            if not await is_vain():
                await asyncio.wait({watch}, timeout=seconds)
        finally:
            waiting = self._waiting.get(run, set())
            waiting.discard(watch)
            if not waiting:
                self._waiting.pop(run, None)

    def notify(self, run: str) -> None:
        """Wake all requests that wait for the run."""
        for watch in self._waiting.pop(run, ()):
            if not watch.done():
                watch.set_result(None)

    def notify_all(self) -> None:
        """Wake all requests."""
        for run in list(self._waiting):
            self.notify(run)
