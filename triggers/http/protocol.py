"""One HTTP/1.1 connection: requests are read from it one at a time, and each is answered before the next is read.

Bytes that follow a request wait until its response is out. So responses keep the order of the requests, nothing that
follows a refused or last request is read as a request, and pipelined requests wait behind those of other connections
(`Turns`). A head is parsed when it is complete, so it makes no difference how it was split into packets.
"""

import asyncio
import contextlib
import json
import logging
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from triggers.http.body import IS_WHOLE
from triggers.http.flow import WRITE_SECONDS, HeldFlow, LingeringTransport, StallTimer, Turns
from triggers.http.framing import (
    MalformedHead,
    check_headers,
    encode_target,
    find_content_length,
    is_broken_head,
    is_socket_handshake,
    read_request_line,
    skip_empty_lines,
    strip_values,
)
from triggers.http.socket_protocol import SocketProtocol

log = logging.getLogger("waypost.http")

HEAD_LIMIT = 64 * 1024
"""The bytes of a request line with its headers."""

HEAD_SECONDS = 10.0
"""The time within which a request line and its headers must arrive."""

CHUNK_OVERHEAD = 8
"""Bytes of chunk sizes, extensions and trailers that a chunked body may have for each byte of content, in addition to
`HEAD_LIMIT`. Chunks of one byte have five."""

LINGER_SECONDS = 2.0
"""How long a client may take to read a response that ends the connection. Closing while the client still sends would
reset the connection, and the client could lose the response (RFC 9112 9.6)."""

LINGER_LIMIT = 1024 * 1024
"""The bytes that are read and discarded in that time."""

PARTS_A_TURN = 256
"""The parts of a request that are read in one turn of the event loop. A chunked body can have a part every few
bytes."""

END_OF_HEAD = b"\r\n\r\n"
"""Also ends a chunked body, with or without trailers."""


class Stage(Enum):
    """What the next byte of a connection belongs to."""

    HEAD = auto()
    CONTENT = auto()
    CHUNKS = auto()
    ANSWER = auto()
    """A later request: the current one was read, and is not answered yet."""
    END = auto()
    """Nothing: the last response was sent or is being sent."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, restricted to one request at a time, with limits on heads, framing and slow readers."""

    _stage = Stage.HEAD
    _searched = 0
    _left = 0
    _overhead = 0
    _is_head_method = False
    _has_headers = False
    _is_half_closed = False
    _refusal: MalformedHead | None = None
    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, turns: Turns | None = None, socket_path: str | None = None, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._turns = turns or Turns()
        self._socket_path = socket_path

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow: HeldFlow = HeldFlow(transport)
        self._lingering = LingeringTransport(transport, self.close)
        self._stall = StallTimer(self.loop, transport)
        self._buffer = bytearray()
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stage = Stage.END
        self._cancel_deadline()
        self.resume_writing()
        super().connection_lost(exc)
        self._lingering.close = self.transport.close  # this object's would be a reference cycle

    # -- reading ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._stage is Stage.END:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        self._buffer += data
        self._advance()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's says nothing, which closes
        """The client sends no more but may still read: a request that arrived completely is answered. A stream of
        events, of which everything so far was sent, ends: its client has left."""
        self._is_half_closed = True
        if self._stage is Stage.ANSWER:
            return not self.cycle.response_started or self.transport.get_write_buffer_size() > 0
        if self._stage is not Stage.END and (self._buffer or self._stage is not Stage.HEAD):
            self._refuse(400, "the connection ended before the request was complete")
        return False

    def _advance(self) -> None:
        """Read up to the end of a request. A request of many parts is continued in the next turn of the event loop."""
        self.flow.is_held = False
        for _ in range(PARTS_A_TURN):
            match self._stage:
                case Stage.HEAD:
                    is_moving = self._read_head()
                case Stage.CONTENT:
                    is_moving = self._read_content()
                case Stage.CHUNKS:
                    is_moving = self._read_chunks()
                case Stage.ANSWER:
                    if self._buffer:
                        self._hold_reading()
                    return
                case Stage.END:
                    return
            if not is_moving:
                return
        self._hold_reading()
        self._turns.wait(self.loop, self._advance)

    def _hold_reading(self) -> None:
        self.flow.pause_reading()
        self.flow.is_held = True

    def _resume_reading(self) -> None:
        """Read more, since all bytes so far were used."""
        flow = self.flow
        flow.is_held = False
        if flow.read_paused and (self._stage is Stage.HEAD or len(self.cycle.body) <= HIGH_WATER_LIMIT):
            flow.resume_reading()

    def _read_head(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b"\r"):  # RFC 9112 2.2: old clients send an empty line after a body
            self._start_head_timer()
            skip_empty_lines(buffer)
        end = buffer.find(END_OF_HEAD, max(0, self._searched - 3))
        size = len(buffer) if end < 0 else end + len(END_OF_HEAD)
        if size > HEAD_LIMIT:
            self._refuse(431, f"the request's headers are larger than the {HEAD_LIMIT} bytes that are accepted")
            return False
        if end < 0:
            if buffer and is_broken_head(buffer, self._searched):
                self._refuse(400, "this is not HTTP/1.1: it begins with a method, and each line ends with CR and LF")
            elif self._is_half_closed:
                self.close()
            else:
                self._searched = size
                self._resume_reading()
                if buffer:
                    self._start_head_timer()
            return False
        head = bytes(buffer[:size])
        del buffer[:size]
        self._searched = 0
        self._cancel_deadline()
        return self._take_head(head)

    def _take_head(self, head: bytes) -> bool:
        line = read_request_line(head)
        self._is_head_method = head.startswith(b"HEAD ")
        if isinstance(line, MalformedHead):
            return self._refuse(400, line.detail)
        if not line.target.isascii():
            head = encode_target(head, line)
        self._has_headers = False
        if not self._feed(strip_values(head)):
            return False
        if not self._has_headers:
            return self._refuse(400, "the request's headers cannot be read")
        if self._refusal:
            return self._refuse(400, self._refusal.detail)
        if self._stage is Stage.HEAD:
            length = find_content_length(self.headers)
            self._stage, self._left = (Stage.CHUNKS, 0) if length is None else (Stage.CONTENT, length)
            self._overhead = HEAD_LIMIT
        return True

    def _read_content(self) -> bool:
        """Pass the bytes of the body to the parser, and none that follow it."""
        if not self._buffer:
            self._resume_reading()
            return False
        part = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(part)
        return self._feed(part)

    def _read_chunks(self) -> bool:
        """Pass the bytes to the parser up to the next possible end of the body; the beginning of an end waits for the
        rest."""
        end = self._buffer.find(END_OF_HEAD)
        size = end + len(END_OF_HEAD) if end >= 0 else len(self._buffer) - _count_partial_end(self._buffer)
        if not size:
            self._resume_reading()
            return False
        part = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._overhead -= len(part)
        if not self._feed(part):
            return False
        if self._overhead < 0:
            return self._refuse(400, "the chunked body has too much framing for its content")
        return True

    def _feed(self, part: bytes) -> bool:
        """Pass bytes to the parser. If it refuses them, refuse the request and return False."""
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            if self._wants_socket():
                return self._switch_to_socket()
            return self._ignore_upgrade()
        except httptools.HttpParserCallbackError:
            return self._refuse(400, "the request target cannot be read")
        except httptools.HttpParserError as error:
            if self._refusal:
                return self._refuse(400, self._refusal.detail)
            return self._refuse(400, f"the request is not valid HTTP/1.1: {error}")
        return True

    def _wants_socket(self) -> bool:
        """Whether the head is a handshake of WebSocket at the path that serves it."""
        if self._socket_path is None or self.url.partition(b"?")[0] != self._socket_path.encode():
            return False
        version = self.parser.get_http_version()
        return is_socket_handshake(self.parser.get_method(), self.headers, version)

    def _switch_to_socket(self) -> bool:
        """Pass the connection on to the protocol of WebSocket. Nothing in the query is passed on: it could be a
        credential, which does not belong into an address."""
        self._stage = Stage.END
        self._cancel_deadline()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        protocol = SocketProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        fields = [b"%s: %s\r\n" % field for field in self.headers]
        head = b"GET %s HTTP/1.1\r\n%s\r\n" % (str(self._socket_path).encode(), b"".join(fields))
        protocol.data_received(head + bytes(self._buffer))
        return False

    def _ignore_upgrade(self) -> bool:
        """Parse the head again without its upgrade to another protocol, which a server may ignore (RFC 9110 7.8).

        With an upgrade in the head the parser ends the message before its body, whether or not the upgrade is granted.
        """
        headers = self.headers
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%s: %s\r\n" % field for field in headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        if not self._feed(line + b"".join(fields) + b"\r\n"):
            return False
        self.headers[:] = headers
        return True

    # -- the parser's callbacks ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._refusal = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is not Stage.HEAD:
            return  # a trailer, which is no header of the request (RFC 9110 6.5.1)
        name = name.lower()
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # see _ignore_upgrade
        self._has_headers = True
        version = self.parser.get_http_version()
        self._refusal = check_headers(self.headers, version)
        if self._refusal:
            return
        if version == "1.0":
            self.expect_100_continue = False  # whose clients take an interim answer for the answer
        super().on_headers_complete()
        self.cycle.transport = self._lingering  # type: ignore[assignment]  # as far as an answer asks

    def on_body(self, body: bytes) -> None:
        self._overhead += len(body) * (1 + CHUNK_OVERHEAD)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refusal or self.parser.should_upgrade():
            return
        self._stage = Stage.ANSWER
        self.scope["extensions"] = {**self.scope.get("extensions", {}), IS_WHOLE: {}}
        self.cycle.waiting_for_100_continue = False  # its body is here
        super().on_message_complete()

    # -- answers ------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._stage is Stage.END or self.transport.is_closing():
            return
        if self._stage is not Stage.ANSWER:
            self.close()  # the rest of the request would have to be read first, and it has no use
            return
        self._stage = Stage.HEAD
        if self._buffer or self._is_half_closed:
            self._turns.wait(self.loop, self._advance)
        else:
            self._resume_reading()
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.close)

    def _refuse(self, status: int, detail: str) -> bool:
        """Answer the request instead of the application, and end the connection; returns False."""
        self._cancel_deadline()
        cycle = self.cycle
        is_begun = cycle is not None and not cycle.response_complete
        if is_begun:
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False  # an application that begins to read now would write behind the end
            cycle.message_event.set()
        if not self.transport.is_closing() and not (is_begun and cycle.response_started):
            log.warning("a request from %s was refused: %s", self.client[0] if self.client else "?", detail)
            self.transport.write(_encode_problem(status, detail, has_body=not self._is_head_method))
        self.close()
        return False

    def close(self) -> None:
        """End the connection after the client has read the last response."""
        if self._stage is Stage.END or self.transport.is_closing():
            return
        self._stage = Stage.END
        self._left = LINGER_LIMIT
        self._cancel_deadline()
        self._buffer.clear()
        self.flow.is_held = False
        self.flow.resume_reading()
        if self._is_half_closed:  # so nothing is unread, which would make a reset of it
            self.transport.close()
        else:
            with contextlib.suppress(OSError, RuntimeError):  # the client is gone already
                self.transport.write_eof()
        self._deadline = self.loop.call_later(
            LINGER_SECONDS, self._abort_if_stalled, self.transport.get_write_buffer_size(), 0
        )

    def _abort_if_stalled(self, unsent_before: int, idle: float) -> None:
        """Drop the connection, unless the client is still reading the last response."""
        unsent = self.transport.get_write_buffer_size()
        idle = idle + LINGER_SECONDS if unsent == unsent_before else 0
        if idle >= WRITE_SECONDS or not (unsent or unsent_before):
            self.transport.abort()
        else:
            self._deadline = self.loop.call_later(LINGER_SECONDS, self._abort_if_stalled, unsent, idle)

    def _discard(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self.transport.abort()

    # -- time ---------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall.start()

    def resume_writing(self) -> None:
        self._stall.stop()
        super().resume_writing()

    def _start_head_timer(self) -> None:
        if self._deadline is None:
            message = f"the request's headers did not arrive within {HEAD_SECONDS:g} s"
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, message)

    def _cancel_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


def _count_partial_end(begun: bytearray) -> int:
    """The number of bytes at the end of `begun` that may be the beginning of the end of a body."""
    return next((size for size in (3, 2, 1) if begun.endswith(END_OF_HEAD[:size])), 0)


def _encode_problem(status: int, detail: str, *, has_body: bool) -> bytes:
    phrase = HTTPStatus(status).phrase
    problem = {"type": "about:blank", "title": phrase, "status": status, "detail": detail}
    body = json.dumps(problem).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
