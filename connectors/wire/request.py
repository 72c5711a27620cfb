"""An HTTP request, and its encoding as an HTTP/1.1 message."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, TypeAlias

import httpx
import msgspec

from connectors.wire.url import ParsedURL
from durable.http_syntax import TOKEN
from durable.wording import quote

Header: TypeAlias = tuple[bytes, bytes]
EnterWait: TypeAlias = Callable[[str], AbstractContextManager[object]]

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})  # set only here
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_TOKEN = re.compile(TOKEN.encode())
_TARGET = re.compile(rb"[!-~]+")
_FORBIDDEN = re.compile(rb"[\r\n\0]")


class Timeouts(NamedTuple):
    """Seconds to wait for a free connection, for a new one, and for data to arrive; None means no limit. Our client
    sets no limit for a free connection, because that wait is not the service's fault."""

    pool: float | None = None
    connect: float | None = None
    read: float | None = None


class Request(msgspec.Struct, frozen=True):
    """A request.

    `before_sending`: called when there is a connection; may raise.
    `enter_wait`: a context manager around the wait for a free connection; it gets a description of what is waited for.
    """

    method: str
    url: ParsedURL
    headers: Sequence[Header]
    content: bytes
    timeouts: Timeouts
    before_sending: Callable[[], None]
    enter_wait: EnterWait = nullcontext

    def encode(self, *, is_absolute: bool = False, more: Sequence[Header] = ()) -> bytes:
        """Encode the message; raises `httpx.LocalProtocolError` if a line break or the like would change its meaning.

        For a proxy, the request line has the absolute URL (`is_absolute`), and there are `more` headers.
        """
        method, target = self.method.encode("ascii", "replace"), self.url.target
        if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
            raise httpx.LocalProtocolError("the method or the URL has characters that HTTP forbids")
        if is_absolute:
            target = b"http://%b%b" % (self.url.host, target)
        lines = [b"%b %b HTTP/1.1" % (method, target)]
        for name, value in (*self.headers, *more):
            if not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
                problem = find_header_problem(name.decode(errors="replace"), value.decode(errors="replace"))
                raise httpx.LocalProtocolError(str(problem))
            if name.lower() not in _FRAMING:
                lines.append(b"%b: %b" % (name, value))
        if self.content or self.method in _WITH_BODY:
            lines.append(b"content-length: %d" % len(self.content))
        return b"\r\n".join((*lines, b"", self.content))


def find_header_problem(name: str, value: str = "") -> str | None:
    """Return why HTTP forbids a header, and what to do; without the value, which may be secret."""
    if not _TOKEN.fullmatch(name.encode(errors="replace")) or not name.isascii():
        return f"{quote(name)} cannot be a header's name; write letters, digits and '-'"
    found = _FORBIDDEN.search(value.encode(errors="replace"))
    if found is None:
        return None
    what = "a NUL character" if found[0] == b"\0" else "a line break"
    cure = "remove it from the secret, or trim the expression"
    return f"the header {quote(name)} has {what}, which no header can hold; {cure}"
