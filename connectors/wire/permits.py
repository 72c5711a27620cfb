"""A semaphore with a fair queue.

A released permit passes directly to the first waiter, in constant time: asyncio's semaphore scans past all waiters that
it has already woken, so that releases become slower the more tasks wait.
"""

import asyncio
from collections import OrderedDict


class Permits:
    """A number of permits. `free` is how many can be taken now; while it is positive, no task waits."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    async def acquire(self) -> None:
        """Take a permit, waiting in the queue if there is none."""
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
            else:  # the permit arrived at the same time as the cancellation
                self.release()
            raise

    def release(self) -> None:
        """Return a permit."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
