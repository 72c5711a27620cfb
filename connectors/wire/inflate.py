"""Decodes gzip and deflate bodies, up to a maximum size."""

import zlib
from collections.abc import Sequence

CODINGS = "gzip, deflate"
"""The value of a request's Accept-Encoding."""

_CODINGS_LIMIT = 3
_MEMBERS_LIMIT = 100  # each copies the rest of the body
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class InflateError(ValueError):
    """The body is not in the coding that its header names."""


class ResponseTooLarge(ValueError):
    """The body would exceed the limit."""


def parse_codings(header: str) -> list[str] | None:
    """Return the codings of a Content-Encoding header, in the order of encoding; None if one of them is unknown."""
    named = [coding for part in header.lower().split(",") if (coding := part.strip()) not in {"", "identity"}]
    return named if set(named) <= {"gzip", "x-gzip", "deflate"} else None


def inflate(body: bytes, encoded: Sequence[str], limit: int) -> bytes:
    """Decode a body to at most `limit` bytes; raises `InflateError` or `ResponseTooLarge`."""
    if len(encoded) > _CODINGS_LIMIT:
        raise InflateError(f"{len(encoded)} content codings, one over the other")
    for coding in reversed(encoded):
        body = _decode(body, coding, limit)
    return body


def _window(body: bytes, coding: str) -> int:
    """Return the `wbits` for zlib. Some servers send `deflate` without the required zlib header (RFC 9110, 8.4.1.2)."""
    if coding != "deflate":
        return _GZIP
    return _ZLIB if body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0 else _RAW


def _decode(body: bytes, coding: str, limit: int) -> bytes:
    """Undo one coding. A gzip body may have several members; data after the last one (padding) are ignored."""
    window = _window(body, coding)
    parts: list[bytes] = []
    room = limit
    while body:
        decoder = zlib.decompressobj(window)
        try:
            part = decoder.decompress(body, room + 1)
        except zlib.error as error:
            raise InflateError(f"it is not {coding}, as its Content-Encoding says ({error})") from None
        room -= len(part)
        if room < 0:
            raise ResponseTooLarge(f"it inflates to more than {limit:,} bytes")
        if not decoder.eof:
            raise InflateError("it ends too early")
        parts.append(part)
        if len(parts) == _MEMBERS_LIMIT:
            raise InflateError(f"it has {_MEMBERS_LIMIT} parts or more")
        body = decoder.unused_data if decoder.unused_data.startswith(_GZIP_MAGIC) and window == _GZIP else b""
    return b"".join(parts)
