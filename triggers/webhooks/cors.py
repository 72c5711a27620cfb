"""CORS: webhooks that pages of other origins may call from a browser
(https://fetch.spec.whatwg.org/#http-cors-protocol)."""

import re
from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias

Origins: TypeAlias = list[str] | Literal["*"]
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

MAX_AGE_SECONDS = 600
"""How long a browser may cache the permission."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORT = re.compile(r"^(http://[^:]+|http://\[.*\]):80$|^(https://[^:]+|https://\[.*\]):443$")
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,2000}")
_EXPOSED = b"Waypost-Event, Waypost-Runs, Retry-After"


def read_origin(text: str) -> str:
    """Normalize an origin to the form that browsers send; raises ValueError."""
    origin = text.lower()
    if origin != "null" and not _ORIGIN.fullmatch(origin):
        raise ValueError(
            f"{text[:80]!r} is not an origin; write scheme and host without a path, such as https://shop.example"
        )
    default = _DEFAULT_PORT.match(origin)
    return (default[1] or default[2]) if default else origin


def allow_origin(origins: Collection[str] | None, origin: str) -> Headers:
    """The response headers for a page of this origin; none if its origin is not allowed."""
    if origins is None or not ("*" in origins or origin in origins):
        return ()
    allowed = b"*" if "*" in origins else origin.encode("latin-1")
    varies: Headers = () if "*" in origins else ((b"vary", b"Origin"),)
    return ((b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED), *varies)


def allow_request(methods: Collection[str], headers: Mapping[str, str]) -> Headers:
    """The response headers that permit a request: the methods of the webhook, and the headers that the browser asks
    for."""
    asked = headers.get("access-control-request-headers", "")
    named: Headers = ((b"access-control-allow-headers", asked.encode()),) if _NAMES.fullmatch(asked) else ()
    return (
        (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()),
        *named,
        (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
    )
