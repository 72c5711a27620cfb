"""One HTTP/1.1 connection, and the one exchange of request and answer that it carries at a time.

llhttp reads the answers, strictly, and `LenientReader` those that it refuses. Nothing is ever written twice: an
exchange that began ends with its whole answer or with an error, and after an error the connection is closed.
"""

import asyncio
import select
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol, Self, cast

import httptools
import httpx

from connectors.wire.lenient import (
    HEAD_LIMIT,
    HEADER_COST,
    OVERLONG,
    LenientReader,
    MalformedResponse,
    explain_malformed,
    read_status,
)
from connectors.wire.request import Header

BUFFER_LIMIT = 256 * 1024
"""Bytes of a body that may wait for their reader before the connection stops reading."""


class ConnectionOwner(Protocol):
    """Who keeps a connection between its exchanges."""

    def release(self, connection: "Connection") -> None:
        """The exchange is over and another may follow."""

    def discard(self, connection: "Connection") -> None:
        """The connection is closed."""


class Exchange(httpx.AsyncByteStream):
    """An answer as it arrives: its head, then its body for one reader."""

    def __init__(self, connection: "Connection", *, is_head: bool, timeout: float | None) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_head = is_head  # the answer to a HEAD has no body, whatever its header says
        self.has_head = False
        self.is_complete = False
        self.ends_with_connection = False
        self.error: httpx.TransportError | None = None
        self._connection = connection
        self._timeout = timeout
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None

    async def wait_for_head(self) -> None:
        """Return once status and headers are there; raises `httpx.TransportError`."""
        while not self.has_head:
            await self._wait_for_data()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self.is_complete:
                raise StopAsyncIteration
            await self._wait_for_data()
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._buffered < BUFFER_LIMIT and not self.is_over:
            self._connection.resume()
        return chunk

    async def aclose(self) -> None:
        """Give up what has not arrived, and the connection with it."""
        if not self.is_over:
            self._connection.abort()

    @property
    def is_over(self) -> bool:
        return self.is_complete or self.error is not None

    def receive(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        if self._buffered >= BUFFER_LIMIT:
            self._connection.pause()

    def fail(self, error: httpx.TransportError) -> None:
        """End without the whole answer; the first reason stands."""
        if not self.is_over:
            self.error = error

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait_for_data(self) -> None:
        if self.error is not None:
            raise self.error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            if self._timeout is None:
                await self._waiter
            else:
                async with asyncio.timeout(self._timeout):
                    await self._waiter
        except TimeoutError:
            raise httpx.ReadTimeout(f"nothing arrived for {self._timeout} s") from None
        finally:
            self._waiter = None


class Connection(asyncio.Protocol):
    """A connection to one origin, made once and used for one exchange after the other."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)  # RFC 9112, 7.1.1: bad white space
        self._lenient: LenientReader | None = None
        self._exchange: Exchange | None = None
        self._received = b""  # of the answer, until its body begins
        self._has_body_begun = False
        self._is_in_trailer = False  # or in a chunk of which nothing arrived, which cannot be wrong yet
        self._unread = 0  # bytes received since the last piece of a body
        self._head_size = 0
        self._is_reusable = False
        self._may_leave_bytes = False  # that this side takes for no part of the answer, and the service may send
        self._is_paused = False

    def exchange(self, request: bytes, *, is_head: bool, timeout: float | None) -> Exchange:
        """Send a whole request; `timeout` is for how many seconds nothing may arrive."""
        exchange = Exchange(self, is_head=is_head, timeout=timeout)
        self._exchange, self._unread, self._head_size, self._is_reusable = exchange, 0, 0, False
        self._received, self._has_body_begun, self._is_in_trailer = b"", False, False
        self._transport.write(request)
        return exchange

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether an idle connection can be used again: open, and without a byte or a close waiting to be read.

        The event loop learns of a close only on its next turn; asking the socket closes that gap.
        """
        return not self.is_closing and not (self._poll and self._poll.poll(0))

    def pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    # -- what asyncio calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll = _poll(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked
            self.abort()
            return
        self._unread += len(data)
        if not self._has_body_begun:
            self._received += data
        try:
            if self._lenient:
                self._lenient.feed(data)
            else:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._is_reusable = False
            self._read_leniently(exchange, str(error))
        except httpx.RemoteProtocolError as error:
            exchange.fail(error)
        if self._unread > HEAD_LIMIT:
            exchange.fail(self._explain_malformed(OVERLONG))
        self._settle(exchange)

    def eof_received(self) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.has_head and exchange.ends_with_connection and exchange.error is None:
            exchange.is_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(self._explain_loss(exchange, exc))
            exchange.wake()
        self._owner.discard(self)

    # -- what llhttp calls --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._current().is_complete:
            self._refuse("more arrived than the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._current()
        self._head_size += len(name) + len(value) + HEADER_COST
        if self._head_size > HEAD_LIMIT:
            self._refuse(OVERLONG)
        if not exchange.has_head:  # what follows a chunked body as a trailer is not used
            exchange.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        exchange = self._current()
        exchange.status = self._parser.get_status_code()
        if exchange.status == 101:
            self._refuse("it switches to a protocol that was not asked for")
        if exchange.status < 100:
            self._refuse("its status line cannot be read")
        if exchange.status < 200:
            exchange.headers.clear()  # an interim answer; the real one follows
            return
        fields = dict(exchange.headers)
        is_chunked = b"transfer-encoding" in fields and _is_chunked(exchange.headers)
        exchange.ends_with_connection = b"content-length" not in fields and not is_chunked
        self._may_leave_bytes = self._contradicts_itself(exchange.status, fields)
        exchange.has_head = True
        exchange.is_complete = exchange.is_head

    def on_chunk_header(self) -> None:
        self._has_body_begun = self._is_in_trailer = True

    def on_body(self, chunk: bytes) -> None:
        exchange = self._current()
        self._has_body_begun, self._is_in_trailer, self._unread = True, False, 0
        if not exchange.is_complete:
            exchange.receive(chunk)

    def on_message_complete(self) -> None:
        exchange = self._current()
        if exchange.has_head and not exchange.is_head:
            exchange.is_complete = True
            is_wrong = exchange.status == 421  # the service says that this connection is not for that request
            self._is_reusable = self._parser.should_keep_alive() and not is_wrong and not self._may_leave_bytes

    # -----------------------------------------------------------------------------------------------------------

    def _contradicts_itself(self, status: int, fields: Mapping[bytes, bytes]) -> bool:
        """Whether an answer that has no body announces one, or is chunked in HTTP/1.0 (RFC 9112, 6.1). Bytes that its
        service sends all the same would be read as the next answer."""
        is_coded = b"transfer-encoding" in fields
        if status in {204, 304}:
            return is_coded or fields.get(b"content-length", b"").strip(b"0") != b""
        return is_coded and self._parser.get_http_version() == "1.0"

    def _current(self) -> Exchange:
        assert self._exchange is not None, "llhttp is fed only during an exchange"
        return self._exchange

    def _refuse(self, why: str) -> NoReturn:
        """Stop llhttp. An answer that was whole before stays whole."""
        self._current().fail(self._explain_malformed(why))
        raise httptools.HttpParserError(why)

    def _explain_malformed(self, why: str) -> httpx.RemoteProtocolError:
        exchange = self._current()
        return MalformedResponse(why, exchange.status) if exchange.has_head else explain_malformed(why, self._received)

    def _explain_loss(self, exchange: Exchange, reason: Exception | None) -> httpx.TransportError:
        """What is known of an answer that the connection did not live to bring: the status of a refusal is enough."""
        status = None if exchange.has_head else read_status(self._received)
        if status is not None and status >= 300:
            return MalformedResponse("it ends in its header", status)
        if reason:
            return httpx.ReadError(f"the connection broke: {reason}")
        return httpx.RemoteProtocolError("the connection was closed before the answer was whole")

    def _read_leniently(self, exchange: Exchange, why: str) -> None:
        """Begin anew with what llhttp refused. In the middle of a body it is too late for that; after it, only the
        trailer is lost, which is not used."""
        if exchange.is_over:
            return
        if self._is_in_trailer:
            exchange.is_complete = True
            return
        if self._has_body_begun:
            exchange.fail(self._explain_malformed(why))
            return
        exchange.headers.clear()
        self._lenient = LenientReader(
            is_head=exchange.is_head, begin=self._begin, deliver=self.on_body, end=self._end_leniently
        )
        try:
            self._lenient.feed(self._received)
        except httpx.RemoteProtocolError as error:
            exchange.fail(error)

    def _begin(self, status: int, headers: list[Header], ends_with_connection: bool) -> None:
        exchange = self._current()
        exchange.status, exchange.headers = status, headers
        exchange.ends_with_connection = ends_with_connection
        exchange.has_head = True

    def _end_leniently(self) -> None:
        self._current().is_complete = True

    def _settle(self, exchange: Exchange) -> None:
        """After something arrived: end the exchange if it is over, and tell who waits."""
        if exchange.is_over:
            self.resume()
            if exchange.is_complete and self._is_reusable and not self._transport.get_write_buffer_size():
                self._exchange = None
                self._owner.release(self)
            else:
                self.abort()
        if exchange.has_head or exchange.is_over:
            exchange.wake()


def _is_chunked(headers: Sequence[Header]) -> bool:
    """Whether the only transfer encoding is that; where there is another, `LenientReader` judges."""
    codings = {value.lower() for name, value in headers if name == b"transfer-encoding"}
    if len(codings) > 1 or not codings <= {b"chunked", b"identity"}:
        raise httptools.HttpParserError("a transfer encoding that was not asked for")
    return codings == {b"chunked"}


def _poll(descriptor: int) -> "select.poll | None":
    """What tells whether there is anything to read."""
    if sys.platform == "win32":
        return None  # its event loop reads ahead
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll
