"""Who waits for something that runs come to: their ends, their answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Watch: TypeAlias = "asyncio.Future[None]"


class Waiters:
    """Those who wait, by run; to be used from one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Watch]] = {}

    async def wait(self, run: str, seconds: float, is_vain: Callable[[], Awaitable[bool]]) -> None:
        """Return once that run is told of, or the time is over; at once, if it `is_vain` by now to wait."""
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
        """It has come to it: nobody waits for it any longer."""
        for watch in self._waiting.pop(run, ()):
            if not watch.done():
                watch.set_result(None)

    def notify_all(self) -> None:
        """Nobody is to wait any longer."""
        for run in list(self._waiting):
            self.notify(run)
