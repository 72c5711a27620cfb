"""The slots for attempts: so many at once, and whoever waits for one gets it by priority, then by arrival."""

import asyncio
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TypeAlias

_Turn: TypeAlias = "asyncio.Future[None]"


class Slots:
    """`number` slots; to be used from one event loop."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: list[tuple[int, int, _Turn]] = []
        self._arrivals = count()
        self._gone = 0

    async def take(self, priority: int) -> None:
        """Wait for a slot and take it; a higher priority gets it first."""
        if self._free:
            self._free -= 1
            return
        turn: _Turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (-priority, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given the slot in the moment in which it went away
                self.give()
            else:
                self._forget()
            raise

    def _forget(self) -> None:
        """Drop those who went away, once they are half of all who wait."""
        self._gone += 1
        if self._gone * 2 > len(self._waiting):
            self._waiting = [waiting for waiting in self._waiting if not waiting[2].done()]
            heapify(self._waiting)
            self._gone = 0

    def give(self) -> None:
        """Give a slot back: to the next who still waits, if there is one."""
        while self._waiting:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
            self._gone = max(0, self._gone - 1)
        self._free += 1
