"""An HTTP/1.1 connection, which carries one exchange of request and response at a time.

Nothing is ever written twice: an exchange ends with a complete response or an error, and after an error the connection
is closed.
"""

import asyncio
import select
import sys
from collections.abc import Callable
from typing import cast

from connectors.wire.exchange import Exchange


class Connection(asyncio.Protocol):
    """A connection to one origin, used for successive exchanges. It calls `release` when an exchange has ended and
    another may follow, and `discard` when it is closed."""

    def __init__(self, release: Callable[["Connection"], None], discard: Callable[["Connection"], None]) -> None:
        self._release = release
        self._discard = discard
        self._exchange: Exchange | None = None

    def send(self, request: bytes, *, is_head: bool, timeout: float | None) -> Exchange:
        """Send a whole request. The exchange fails if nothing arrives for `timeout` seconds."""
        self._exchange = exchange = Exchange(self._transport, is_head=is_head, timeout=timeout)
        self._transport.write(request)
        return exchange

    @property
    def is_quiet(self) -> bool:
        """Whether an idle connection can be used again: it is open, and neither data nor a close are waiting to be
        read.

        The event loop notices a close only on its next turn; polling the socket closes that gap.
        """
        return not self._transport.is_closing() and not (self._poll and self._poll.poll(0))

    def abort(self) -> None:
        self._transport.abort()

    # -- what asyncio calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll = _poll(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # no request was sent
            self.abort()
            return
        exchange.receive(data)
        if not exchange.is_over:
            return
        if exchange.is_complete and exchange.is_reusable and not self._transport.get_write_buffer_size():
            self._exchange = None
            self._release(self)
        else:
            self.abort()

    def eof_received(self) -> None:
        if self._exchange is not None:
            self._exchange.end_with_connection()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lose_connection(exc)
        self._discard(self)


def _poll(descriptor: int) -> "select.poll | None":
    """Return an object that tells whether there is anything to read."""
    if sys.platform == "win32":
        return None  # there the event loop reads ahead
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll
