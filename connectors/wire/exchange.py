"""An HTTP response as it arrives on a connection: parsed strictly by llhttp, or by `LenientReader` if llhttp rejects
it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NoReturn

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
"""The connection stops reading when this many bytes of a body are waiting for their reader."""


class Exchange(httpx.AsyncByteStream):
    """The response to a request that was sent: status and headers, then the body for one reader.

    `timeout`: how many seconds may pass without data.
    `is_head`: the response has no body, whatever its headers say.
    """

    def __init__(self, transport: asyncio.Transport, *, is_head: bool, timeout: float | None) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.has_head = False
        self.is_complete = False
        self.is_over = False  # complete, or failed
        self.is_reusable = False  # the connection can be used for another exchange
        self._transport = transport
        self._is_head = is_head
        self._error: httpx.TransportError | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)  # RFC 9112, 7.1.1: bad white space
        self._lenient: LenientReader | None = None
        self._received = b""  # the head; not extended after the body has begun
        self._head_size = 0
        self._ends_with_connection = False
        self._may_leave_bytes = False  # the service may send bytes that are not part of the response
        self._has_body_begun = False
        self._is_in_trailer = False  # or before the first byte of a chunk
        self._unread = 0  # bytes received since the last piece of the body
        self._body = bytearray()  # the part that was not read yet
        self._is_paused = False
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- for the reader -----------------------------------------------------------------------------------------

    def wait_for_data(self) -> "asyncio.Future[None]":
        """Completes when the head has arrived, and then whenever more data have arrived; raises
        `httpx.TransportError`."""
        if self._error is not None:
            raise self._error
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        if self._timeout is not None:
            self._timer = loop.call_later(self._timeout, self._expire)
        return self._waiter

    async def read(self) -> bytes:
        """Return the data of the body that arrived since the last call; empty at its end. Raises
        `httpx.TransportError`."""
        while not self._body:
            if self.is_complete:
                return b""
            await self.wait_for_data()
        piece = bytes(self._body)
        self._body.clear()
        if self._is_paused:
            self._resume()
        return piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    async def aclose(self) -> None:
        """Abandon the rest of the response. The connection is closed unless the response is complete."""
        if not self.is_over:
            self._transport.abort()

    # -- for the connection -------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Process arrived data, and wake the reader."""
        self._unread += len(data)
        if not self._has_body_begun:
            self._received += data
        try:
            if self._lenient:
                self._lenient.feed(data)
            else:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.is_reusable = False
            self._read_leniently(str(error))
        except httpx.RemoteProtocolError as error:
            self._fail(error)
        if self._unread > HEAD_LIMIT:
            self._fail(self._explain_malformed(OVERLONG))
        if self.is_over:
            if self._is_paused:
                self._resume()
            self._drop_parsers()
        if self.has_head or self.is_over:
            self._wake()

    def end_with_connection(self) -> None:
        """The service has closed its side; that ends a body without length or chunks."""
        if self.has_head and self._ends_with_connection and not self.is_over:
            self._complete()
            self._drop_parsers()

    def lose_connection(self, reason: Exception | None) -> None:
        """The connection is closed; if the response is not complete, the exchange fails."""
        if not self.is_over:
            self._fail(self._explain_loss(reason))
            self._drop_parsers()
        self._wake()

    # -- for llhttp ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_complete:
            self._refuse("data follows the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + HEADER_COST
        if self._head_size > HEAD_LIMIT:
            self._refuse(OVERLONG)
        if not self.has_head:  # the trailer of a chunked body is not used
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = status = self._parser.get_status_code()
        if status == 101:
            self._refuse("it switches to a protocol that was not requested")
        if status < 100:
            self._refuse("its status line cannot be read")
        if status < 200:
            self.headers.clear()  # an interim response; the final one follows
            return
        fields = dict(self.headers)
        is_coded = b"transfer-encoding" in fields
        is_chunked = is_coded and _is_chunked(self.headers)
        self._ends_with_connection = b"content-length" not in fields and not is_chunked
        self._may_leave_bytes = (is_coded or status in {204, 304}) and self._contradicts_itself(fields)
        self.has_head = True
        if self._is_head:
            self._complete()

    def on_chunk_header(self) -> None:
        self._has_body_begun = self._is_in_trailer = True

    def on_body(self, piece: bytes) -> None:
        self._has_body_begun, self._is_in_trailer, self._unread = True, False, 0
        if self.is_complete:
            return
        self._body += piece
        if len(self._body) >= BUFFER_LIMIT and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.has_head and not self._is_head:
            self.is_complete = self.is_over = True
            is_wrong = self.status == 421  # Misdirected Request: this connection does not serve that origin
            self.is_reusable = self._parser.should_keep_alive() and not is_wrong and not self._may_leave_bytes

    # -----------------------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        self.is_complete = self.is_over = True

    def _fail(self, error: httpx.TransportError) -> None:
        """End without a complete response; the first error wins."""
        if not self.is_over:
            self._error, self.is_over = error, True

    def _drop_parsers(self) -> None:
        """Break reference cycles through the parsers, to spare the garbage collector."""
        del self._parser, self._lenient

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        self._fail(httpx.ReadTimeout(f"no data arrived for {self._timeout} s"))
        self._drop_parsers()
        self._transport.abort()
        self._wake()

    def _resume(self) -> None:
        self._is_paused = False
        self._transport.resume_reading()

    def _contradicts_itself(self, fields: Mapping[bytes, bytes]) -> bool:
        """Whether a response without a body announces one, or is chunked in HTTP/1.0 (RFC 9112, 6.1). If the service
        sends a body nevertheless, it would be read as the next response."""
        if self.status in {204, 304}:
            return b"transfer-encoding" in fields or fields.get(b"content-length", b"").strip(b"0") != b""
        return self._parser.get_http_version() == "1.0"

    def _refuse(self, why: str) -> NoReturn:
        """Stop llhttp. A response that was already complete remains complete."""
        self._fail(self._explain_malformed(why))
        raise httptools.HttpParserError(why)

    def _explain_malformed(self, why: str) -> httpx.RemoteProtocolError:
        return MalformedResponse(why, self.status) if self.has_head else explain_malformed(why, self._received)

    def _explain_loss(self, reason: Exception | None) -> httpx.TransportError:
        """Explain a response that ends early; for a refusal, the status is enough."""
        status = None if self.has_head else read_status(self._received)
        if status is not None and status >= 300:
            return MalformedResponse("it ends within its headers", status)
        if reason:
            return httpx.ReadError(f"the connection broke: {reason}")
        return httpx.RemoteProtocolError("the connection was closed before the answer was complete")

    def _read_leniently(self, why: str) -> None:
        """Read from the start what llhttp rejected. In the middle of a body this is too late; after it, only the
        trailer is lost, which is not used."""
        if self.is_over:
            return
        if self._is_in_trailer:
            self._complete()
            return
        if self._has_body_begun:
            self._fail(self._explain_malformed(why))
            return
        self.headers.clear()
        self._lenient = LenientReader(
            is_head=self._is_head, begin=self._begin, deliver=self.on_body, end=self._complete
        )
        try:
            self._lenient.feed(self._received)
        except httpx.RemoteProtocolError as error:
            self._fail(error)

    def _begin(self, status: int, headers: list[Header], ends_with_connection: bool) -> None:
        self.status, self.headers, self._ends_with_connection = status, headers, ends_with_connection
        self.has_head = True


def _is_chunked(headers: Sequence[Header]) -> bool:
    """Whether `chunked` is the only transfer encoding; `LenientReader` handles others."""
    codings = {value.lower() for name, value in headers if name == b"transfer-encoding"}
    if len(codings) > 1 or not codings <= {b"chunked", b"identity"}:
        raise httptools.HttpParserError("a transfer encoding that was not requested")
    return codings == {b"chunked"}
