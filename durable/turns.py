"""Turns of the event loop for long work: one piece at a time, with a pause after each.

Short pieces alone are not enough: when 30 responses arrive at once, their pieces would run back to back, and nothing
else would run until the last of them.
"""

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

PAUSE = 0.004
"""Seconds between two pieces, in which the event loop does other work."""


class _Line:
    """The tasks that wait for a turn, of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_moving = False

    async def wait(self) -> None:
        turn = self._loop.create_future()
        self._waiting.append(turn)
        if not self._is_moving:
            self._is_moving = True
            self._loop.call_soon(self._move)
        await turn

    def _move(self) -> None:
        while self._waiting and (turn := self._waiting.popleft()):
            if not turn.done():  # it may have been cancelled
                turn.set_result(None)
                self._loop.call_later(PAUSE, self._move)
                return
        self._is_moving = False


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()


async def take_turn() -> None:
    """Wait for a turn. The piece of work that follows may take at most 50 ms, because it blocks the event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _lines:
        _lines[loop] = _Line(loop)
    await _lines[loop].wait()
