"""A number of permits, and a queue of tasks that wait for one.

A released permit goes straight to the first in the queue, in constant time: asyncio's semaphore scans past all waiters
that it has already woken, so each release costs more, the more tasks wait.
"""

import asyncio
from collections import OrderedDict


class Permits:
    """`free` is how many can be taken at once; while there are any, no task waits."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    async def acquire(self) -> None:
        """Take a permit; waits in turn for one."""
        if self.free:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._line[turn] = None
        try:
            await turn
        except BaseException:
            if turn.cancel() or turn.cancelled():
                self._line.pop(turn, None)
            else:  # the permit arrived with the cancellation
                self.release()
            raise

    def release(self) -> None:
        """Give a permit back."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
