"""A number of permits, and the line of those who wait for one.

A permit that is given back goes straight to the first in line, whatever its length: asyncio's semaphore looks past all
whom it has woken already, which makes each exchange dearer the more of them are waiting.
"""

import asyncio
from collections import OrderedDict


class Permits:
    """`free` ones are there for the taking; while there are any, nobody waits."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    async def acquire(self) -> None:
        """Take one, in turn."""
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
            else:  # it came in the moment of giving up
                self.release()
            raise

    def release(self) -> None:
        """Give one back."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
