"""Reads responses that llhttp rejects although RFC 9112 allows them: folded headers, equal lengths, bare line feeds.

    MalformedResponse       a response that cannot be read; the service has responded, and its response is lost

llhttp is tried first. If it rejects a response before the body, the response is read here from its first byte; then the
connection is closed, because two parsers might disagree about where such a response ends.
"""

import re
from collections.abc import Callable, Sequence

import httpx

from connectors.wire.request import Header
from durable.http_syntax import TOKEN

HEAD_LIMIT = 64 * 1024
"""The maximum size, in bytes, of a response's headers, and of everything else in it that is not its body."""

HEADER_COST = 32
"""Added to the size of each header, in bytes, to limit the number of small headers."""

OVERLONG = f"its header is over {HEAD_LIMIT // 1024} KiB"

_CHUNKS = 1_000
_LEAST_CHUNK = 32
"""The minimum average size, in bytes, of more than `_CHUNKS` chunks: 256 KiB of smaller chunks would block the event
loop for 200 ms."""

_HTTP = b"HTTP/"
_STATUS_LINE = re.compile(rb"HTTP/[123](?:\.\d)?[ \t]+([1-9]\d\d)(?:[ \t][^\n]*)?\r*(?:\n|$)", re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r*\n")
_NAME = re.compile(TOKEN.encode())
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r*")
_SIZE_BEGINNING = re.compile(rb"[ \t]*[0-9A-Fa-f]{0,15}[ \t]*(?:;[^\n]*)?\r*")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class MalformedResponse(httpx.RemoteProtocolError):
    """A response is not valid HTTP; `status` is None if its status line cannot be read."""

    def __init__(self, reason: str, status: int | None) -> None:
        super().__init__(f"the answer is not valid HTTP: {reason}")
        self.status = status


def explain_malformed(reason: str, received: bytes) -> httpx.RemoteProtocolError:
    """Return the error for a response that cannot be read; `received` are its bytes so far, its headers not complete.

    Without a final status line it is unknown whether the service has responded.
    """
    head = _skip_interim(received)
    found = _STATUS_LINE.match(head)
    status = int(found[1]) if found else None
    is_interim = status is not None and status < 200 and status != 101
    if is_interim or len(head) < len(_HTTP) or not _is_http(head):
        return httpx.RemoteProtocolError(f"the answer is not valid HTTP: {reason}")
    return MalformedResponse(reason, status)


def read_status(head: bytes) -> int | None:
    """Return the status of a response from its head, skipping interim responses (1xx); None without a status line."""
    found = _STATUS_LINE.match(_skip_interim(head))
    return int(found[1]) if found else None


class LenientReader:
    """Reads one response; calls `begin` with its status and headers, `deliver` with each piece of its body, and `end`.

    `feed` raises `httpx.RemoteProtocolError`; once the status is known, its subclass `MalformedResponse`.
    """

    def __init__(
        self,
        *,
        is_head: bool,
        begin: Callable[[int, list[Header], bool], None],
        deliver: Callable[[bytes], None],
        end: Callable[[], None],
    ) -> None:
        self._is_head = is_head
        self._begin, self._deliver, self._end = begin, deliver, end
        self._buffer = b""
        self._done = 0  # processed bytes of the buffer; removed once per feed, since each byte may be a chunk
        self._status: int | None = None
        self._room = 0  # missing bytes of the body, or of the current chunk
        self._chunks = self._size = 0
        self._read: Callable[[], bool] = self._read_head

    def feed(self, data: bytes) -> None:
        """Process arrived data."""
        self._buffer, self._done = self._buffer[self._done :] + data, 0
        while self._read():
            pass

    def _refuse(self, reason: str) -> httpx.RemoteProtocolError:
        return (
            explain_malformed(reason, self._buffer) if self._status is None else MalformedResponse(reason, self._status)
        )

    def _read_head(self) -> bool:
        self._buffer = _skip_interim(self._buffer)
        if not self._buffer:
            return False
        if not _is_http(self._buffer):
            raise self._refuse("it does not begin with HTTP/")
        if b"\n" in self._buffer and not _STATUS_LINE.match(self._buffer):
            raise self._refuse("its status line cannot be read")
        found = _HEAD_END.search(self._buffer)
        if found is None:
            return False
        lines = self._buffer[: found.start()].split(b"\n")
        if found.start() + HEADER_COST * len(lines) > HEAD_LIMIT:
            raise self._refuse(OVERLONG)
        status = _STATUS_LINE.match(self._buffer)
        assert status is not None, "the first line was looked at"
        number, headers = int(status[1]), _parse_fields(lines[1:])
        if number == 101:
            raise self._refuse("it switches to a protocol that was not requested")
        try:
            is_chunked, length, headers = _read_framing(headers)
        except ValueError as error:
            raise self._refuse(str(error)) from None
        self._status, self._done = number, found.end()
        is_empty = self._is_head or number in {204, 304} or (length == 0 and not is_chunked)
        self._begin(number, headers, not is_empty and not is_chunked and length is None)
        if is_empty:
            return self._finish()
        self._room = length or 0
        self._read = self._read_size if is_chunked else self._read_rest if length is None else self._read_length
        return True

    def _finish(self) -> bool:
        self._end()
        self._read = self._ignore
        return False

    def _ignore(self) -> bool:
        return False

    def _read_rest(self) -> bool:
        """Read a body that ends with the connection."""
        data, self._done = self._buffer[self._done :], len(self._buffer)
        if data:
            self._deliver(data)
        return False

    def _read_length(self) -> bool:
        return self._finish() if self._take() else False

    def _take(self) -> bool:
        """Deliver the available part of the body or chunk; True when it is complete."""
        data = self._buffer[self._done : self._done + self._room]
        self._done += len(data)
        self._room -= len(data)
        if data:
            self._deliver(data)
        return not self._room

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._done)
        if end < 0:
            return None
        line, self._done = self._buffer[self._done : end], end + 1
        return line

    def _read_size(self) -> bool:
        line = self._line()
        if line is None:
            if not _SIZE_BEGINNING.fullmatch(self._buffer[self._done : self._done + 64]):
                raise self._refuse("the size of a chunk cannot be read")
            return False
        found = _SIZE.fullmatch(line)
        if found is None:
            raise self._refuse("the size of a chunk cannot be read")
        self._room = int(found[1], 16)
        self._chunks += bool(self._room)
        self._size += self._room
        if self._chunks > _CHUNKS and self._size < self._chunks * _LEAST_CHUNK:
            raise self._refuse("its chunks are too small")
        self._read = self._read_chunk if self._room else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        if not self._take():
            return False
        self._read = self._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        line = self._line()
        if (self._buffer[self._done : self._done + 64] if line is None else line).strip(b"\r"):
            raise self._refuse("a chunk is longer than its size")
        if line is None:
            return False
        self._read = self._read_size
        return True

    def _read_trailer(self) -> bool:
        """Skip the trailer, whose fields are not used."""
        line = self._line()
        if line is None:
            return False
        return True if line.strip(b"\r") else self._finish()


def _is_http(head: bytes) -> bool:
    """Whether these bytes may be the beginning of a response."""
    return head[: len(_HTTP)].upper() == _HTTP[: len(head)]


def _skip_interim(received: bytes) -> bytes:
    """Skip the interim responses (1xx) and the empty lines before a response."""
    received = received.lstrip(b"\r\n")
    while (status := _STATUS_LINE.match(received)) and status[1].startswith(b"1") and status[1] != b"101":
        end = _HEAD_END.search(received)
        if end is None:
            break
        received = received[end.end() :].lstrip(b"\r\n")
    return received


def _parse_fields(lines: Sequence[bytes]) -> list[Header]:
    """Parse and unfold the headers (RFC 9112, 5.2), without those with invalid names; control characters become
    spaces."""
    found: list[Header] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        name, value = name.rstrip(b" \t"), _CONTROL.sub(b" ", value.rstrip(b"\r")).strip(b" \t")
        if line[:1] in (b" ", b"\t"):
            if found:
                folded = _CONTROL.sub(b" ", line.rstrip(b"\r")).strip(b" \t")
                found[-1] = (found[-1][0], (found[-1][1] + b" " + folded).strip(b" "))
        elif colon and _NAME.fullmatch(name):
            found.append((name.lower(), value))
    return found


def _read_framing(headers: list[Header]) -> tuple[bool, int | None, list[Header]]:
    """Return whether the body is chunked, otherwise its length (None if unknown), and the headers consistent with that.

    RFC 9112, 6.3: chunks override a length, and equal lengths count once. Raises `ValueError`.
    """
    codings = _list_members(headers, b"transfer-encoding") - {b"", b"identity"}
    lengths = _list_members(headers, b"content-length")
    others = [header for header in headers if header[0] != b"content-length"]
    if codings:
        if codings != {b"chunked"}:
            raise ValueError("it has a transfer encoding that was not requested")
        return True, None, others
    if not lengths:
        return False, None, others
    if not all(map(_LENGTH.fullmatch, lengths)):
        raise ValueError("its Content-Length is not a number")
    sizes = set(map(int, lengths))
    if len(sizes) > 1:
        raise ValueError("it has several lengths that differ")
    size = sizes.pop()
    return False, size, [*others, (b"content-length", b"%d" % size)]


def _list_members(headers: Sequence[Header], name: bytes) -> set[bytes]:
    """Return the members of the list in all headers of that name."""
    return {part.strip(b" \t").lower() for key, value in headers if key == name for part in value.split(b",")}
