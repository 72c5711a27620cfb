"""The flow of bytes on a connection: whose turn it is, when reading is held back, what becomes of a client that does
not read, and how a connection is closed."""

import asyncio
from collections import deque
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

PIPELINED_A_TURN = 4
"""The pipelined requests that are started in one turn of the event loop."""

WRITE_SECONDS = 30.0
"""How long a client may read nothing of what fills the connection's buffer."""


class Turns:
    """Connections that sent a further request before the last one was answered. A few of them go on in each turn of the
    event loop. If all did, hundreds of pipelining connections would make the turns so long that no other client
    would be answered."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def wait(self, loop: asyncio.AbstractEventLoop, go_on: Callable[[], None]) -> None:
        """Call `go_on` when its turn comes."""
        self._waiting.append(go_on)
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._start_some, loop)

    def _start_some(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(PIPELINED_A_TURN, len(self._waiting))):
            loop.call_soon(self._waiting.popleft())
        self._is_scheduled = bool(self._waiting)
        if self._is_scheduled:
            loop.call_soon(self._start_some, loop)


class HeldFlow(FlowControl):
    """uvicorn's flow control, which does not resume reading while bytes of a later request wait. uvicorn resumes
    whenever an application asks for a body, and so would read everything that a client pipelines."""

    is_held = False

    def resume_reading(self) -> None:
        if self.read_paused and not self.is_held:
            super().resume_reading()


class LingeringTransport:
    """The transport that a response is written to. Closing it lets the client read the response first."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class StallTimer:
    """Drops a connection whose client has read nothing for a while, although its buffer is full."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch: the buffer is full."""
        unsent = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(WRITE_SECONDS, self._check, unsent)

    def stop(self) -> None:
        """End it: the buffer has room again, or the connection has ended."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _check(self, unsent_before: int) -> None:
        if self._transport.get_write_buffer_size() < unsent_before:
            self.start()
        else:
            self._transport.abort()
