"""One request, and the bytes of the one message that it is sent as."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, TypeAlias

import httpx

from durable.wording import quote

Header: TypeAlias = tuple[bytes, bytes]
EnterWait: TypeAlias = Callable[[str], AbstractContextManager[object]]

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})  # decided here, and by nobody else
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[!-~]+")
_VALUE = re.compile(rb"[^\r\n\0]*")
_FORBIDDEN = re.compile(r"[\r\n\0]")


class Timeouts(NamedTuple):
    """Seconds to wait for a free connection, for a new one, and for anything to arrive; None is without end. Our own
    client waits without end for a free connection, since that is no fault of the service."""

    pool: float | None = None
    connect: float | None = None
    read: float | None = None


class Request(NamedTuple):
    """What to send. `before_sending` is called when the connection is there; it may raise. `waiting` is entered while
    the request waits for a connection to be free, with the words for that."""

    method: str
    url: httpx.URL
    headers: Sequence[Header]
    content: bytes
    timeouts: Timeouts
    before_sending: Callable[[], None]
    waiting: EnterWait = nullcontext

    def encode(self, *, is_absolute: bool = False, more: Sequence[Header] = ()) -> bytes:
        """The message; raises `httpx.LocalProtocolError` for what would not stay one request.

        For a proxy it `is_absolute` in its first line, and has `more` headers.
        """
        method, target = self.method.encode("ascii", "replace"), self.url.raw_path
        if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
            raise httpx.LocalProtocolError("the method or the URL has characters that HTTP forbids")
        self._check_headers()
        if is_absolute:
            target = b"http://%b%b" % (self.url.netloc, target)
        lines = [b"%b %b HTTP/1.1" % (method, target)]
        lines += [b": ".join(header) for header in (*self.headers, *more) if header[0].lower() not in _FRAMING]
        if self.content or self.method in _WITH_BODY:
            lines.append(b"content-length: %d" % len(self.content))
        return b"\r\n".join((*lines, b"", self.content))

    def _check_headers(self) -> None:
        """A character that is forbidden in one header is forbidden in all of them, so they are looked at together."""
        names, values = zip(*self.headers, strict=True) if self.headers else ((), ())
        if all(names) and _TOKEN.fullmatch(b"".join(names)) and _VALUE.fullmatch(b"".join(values)):
            return
        for name, value in self.headers:
            if problem := find_header_problem(name.decode(errors="replace"), value.decode(errors="replace")):
                raise httpx.LocalProtocolError(problem)


def find_header_problem(name: str, value: str = "") -> str | None:
    """What is wrong with a header that HTTP forbids, and what to do about it; the value, which may be secret, is not
    repeated."""
    if not _TOKEN.fullmatch(name.encode(errors="replace")) or not name.isascii():
        return f"{quote(name)} cannot be a header's name; write letters, digits and '-'"
    found = _FORBIDDEN.search(value)
    if found is None:
        return None
    what = "a line break" if found[0] in "\r\n" else "a NUL character"
    cure = "remove it from the secret, or trim the expression"
    return f"the header {quote(name)} has {what}, which no header can hold; {cure}"
