"""Checks of request heads: every reader must agree on where a request ends and what it means (RFC 9112).

The parser (llhttp) refuses most malformed requests. These checks refuse what it accepts: other versions and protocols,
unsupported transfer codings, and repeated headers that must be single.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from durable.http_syntax import TOKEN

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names in lower case and values without surrounding white space, in the order of the request."""

SINGLE_HEADERS = (
    b"authorization",
    b"content-length",
    b"content-range",
    b"content-type",
    b"host",
    b"idempotency-key",
    b"origin",
    b"proxy-authorization",
    b"transfer-encoding",
)
"""Headers of which only one value is used. If there were two, a proxy could use the other one."""

_REQUEST_LINE = re.compile(rb"(%b) ([^\x00-\x20\x7f]+) (HTTP/\d\.\d)\r\n" % TOKEN.encode())
_ABSOLUTE_TARGET = re.compile(rb"https?://[^/?#]+/", re.IGNORECASE)
_HOST = re.compile(rb"[\w.~!$&'()*+;=%:\[\]-]*")
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\x00")
_TRAILING_WHITE_SPACE = re.compile(rb"([^\r\n \t])[ \t]+\r\n")
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


class MalformedHead(NamedTuple):
    """Why a request is answered with 400: what is wrong, and what to send instead."""

    detail: str


class RequestLine(msgspec.Struct, frozen=True):
    """The first line of a request; `target` may contain bytes that are not ASCII."""

    method: bytes
    target: bytes
    version: bytes


def read_request_line(head: bytes) -> RequestLine | MalformedHead:
    """The request line of a complete head, or why it is refused."""
    match = _REQUEST_LINE.match(head)
    if match is None:
        return MalformedHead("the request line should be `METHOD /path HTTP/1.1`, with one blank between its parts")
    line = RequestLine(match[1], match[2], match[3])
    if line.version not in (b"HTTP/1.1", b"HTTP/1.0"):
        return MalformedHead(f"{line.version.decode()} is not supported; use HTTP/1.1")
    if line.method in (b"CONNECT", b"PRI"):
        return MalformedHead(
            f"{line.method.decode()} is not served: this server is not a proxy and speaks only HTTP/1.1"
        )
    if b"#" in line.target:
        return MalformedHead("the request target holds a `#`; send it as %23, or leave the fragment out")
    if not line.target.startswith(b"/") and not _ABSOLUTE_TARGET.match(line.target):
        return MalformedHead("the request target should be a path that begins with `/`")
    return line


def encode_target(head: bytes, line: RequestLine) -> bytes:
    """The head with the non-ASCII bytes of its target percent-encoded (RFC 3986).

    Senders that write a path or query in raw UTF-8 or Latin-1 mean these bytes, so none of them is lost.
    """
    start = len(line.method) + 1
    end = start + len(line.target)
    return head[:start] + _NOT_ASCII.sub(lambda match: b"%%%02X" % match[0][0], line.target) + head[end:]


def strip_values(head: bytes) -> bytes:
    """The head without white space after the values of headers, which is not part of them (RFC 9112 5.1).

    The parser removes only the white space before a value, and sometimes keeps a tab after it. A line of white space
    alone is not changed: it continues the line before, and is refused.
    """
    return _TRAILING_WHITE_SPACE.sub(rb"\1\r\n", head) if b" \r\n" in head or b"\t\r\n" in head else head


def skip_empty_lines(received: bytearray) -> None:
    """Remove empty lines at the beginning of a head."""
    if lines := _EMPTY_LINES.match(received):
        del received[: lines.end()]


def is_broken_head(received: bytearray, seen: int) -> bool:
    """Whether the beginning of a head cannot become a valid one. The first `seen` bytes were checked before.

    A client that ends lines with LF alone never sends the blank line that ends a head. It is refused at once instead of
    after the deadline.
    """
    is_method = 0x41 <= received[0] <= 0x5A
    if not is_method:
        return received != b"\r"  # which may become an empty line
    return _BARE_LINE_END.search(received, max(0, seen - 1)) is not None


def check_headers(headers: RawHeaders, version: str) -> MalformedHead | None:
    """The reason to refuse a request with these headers, if there is one."""
    names = [name for name, _ in headers]
    if len(set(names)) < len(names):
        for name in SINGLE_HEADERS:
            if (count := names.count(name)) > 1:
                return MalformedHead(f"the header {name.decode()} came {count} times; send it once")
    if b"host" not in names:
        if version == "1.1":
            return MalformedHead("the header host is missing; every request of HTTP/1.1 has one")
    elif not _HOST.fullmatch(headers[names.index(b"host")][1]):
        return MalformedHead("the header host should be a name or an address, and perhaps a port")
    if b"transfer-encoding" in names:
        return _check_coding(headers[names.index(b"transfer-encoding")][1], version)
    return None


def _check_coding(coding: bytes, version: str) -> MalformedHead | None:
    if version != "1.1":
        return MalformedHead("Transfer-Encoding is not part of HTTP/1.0; send Content-Length")
    if coding.lower() != b"chunked":
        return MalformedHead("of transfer codings only `chunked` is understood, and that once")
    return None


def find_content_length(headers: RawHeaders) -> int | None:
    """The declared length, None if there is none. The parser has checked its form."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None


def is_socket_handshake(method: bytes, headers: RawHeaders, version: str) -> bool:
    """Whether a request asks to become a connection of WebSocket (RFC 6455 4.1); it has no body."""
    given = {name: value.lower() for name, value in headers}
    return (
        method == b"GET"
        and version == "1.1"
        and given.get(b"upgrade") == b"websocket"
        and not given.keys() & {b"content-length", b"transfer-encoding"}
        and check_headers(headers, version) is None
    )
