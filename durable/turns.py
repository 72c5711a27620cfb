"""Turns of the event loop for work that takes a part of a second: one piece at a time, with a pause after it.

Pieces that are short enough by themselves would still follow each other in one turn of the loop, where 30 answers have
come at the same moment; nothing else is done until the last of them.
"""

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

PAUSE = 0.004
"""Seconds between two pieces, for whatever else has come."""


class _Line:
    """Those who wait for a turn of one event loop."""

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
            if not turn.done():  # cancelled, that is
                turn.set_result(None)
                self._loop.call_later(PAUSE, self._move)
                return
        self._is_moving = False


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()


async def take_turn() -> None:
    """Wait for a turn; the piece of work that follows may take as long as other work can wait, 50 ms."""
    loop = asyncio.get_running_loop()
    if loop not in _lines:
        _lines[loop] = _Line(loop)
    await _lines[loop].wait()
