"""URLs of requests, parsed strictly, with an explanation if one is malformed.

    MalformedURL        a URL to which no request can be sent

`httpx.URL` alone is not enough: it reads `http://host:0/` and `http://host:+80/` as port 80, and accepts spaces,
backslashes and percent signs in a host. No message repeats a part of the URL, which may contain a secret.
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple, Self, TypeAlias, cast

import httpx
import msgspec

from connectors.wire.origin import Origin
from durable.action import LiteralError

Scalar: TypeAlias = str | int | float | bool | None
Params: TypeAlias = Mapping[str, Scalar | Sequence[Scalar]]
"""The parameters of a query or the fields of a form; the name of a sequence is repeated."""

RELATIVE = "the URL is relative; name a connection, to whose base_url it is joined, or write https://…"
NO_SCHEME = "the URL has no scheme; write https://…"
USERINFO = "the URL contains a user or password; write them under `auth: {basic: …}` of a connection"

_NO_HOST = "the URL has no host; write https://host/path, with two slashes"
_BLANK = "the URL begins or ends with white space; remove it"
_BACKSLASH = "the URL has a backslash; write '/', or '%5C' for a backslash"
_PORT = "the URL's port is not a number from 1 to 65535"
_HOST = "the URL's host is not a host name or an IP address"

_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([^:]*))?", re.DOTALL)
_PORT_NUMBER = re.compile(r"0*([1-9][0-9]{0,4})?")  # empty: the scheme's default
_HOST_NAME = re.compile(r"(?=.{1,254}$)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


_EXPRESSION = re.compile(r"""\{\{(?:[^'"}]|'[^']*'|"[^"]*"|\}(?!\}))*\}\}""")
_VALUE = "\ue000"  # a private-use character in place of an expression


class MalformedURL(ValueError):
    """A URL to which no request can be sent."""


class ParsedURL(NamedTuple):
    """An absolute http or https URL as requests need it: its origin, the value of the Host header, and the target of
    the request line, which is path and query."""

    text: str
    origin: Origin
    host: bytes
    target: bytes

    @classmethod
    def of(cls, url: httpx.URL) -> Self:
        """Convert an httpx URL; raises `httpx.UnsupportedProtocol`."""
        return cls(str(url), Origin.of(url), url.netloc, url.raw_path)


@lru_cache(maxsize=256)
def parse_url(text: str) -> ParsedURL:
    """Parse an absolute http or https URL; raises `MalformedURL`.

    Results are cached: parsing takes as long as sending a request, and most steps send to the same URL repeatedly.
    """
    _ensure_characters(text)
    scheme, authority, path = split_url(text)
    _ensure_scheme(scheme, text)
    if not authority:
        raise MalformedURL(_NO_HOST)
    _ensure_authority(authority)
    if "\\" in path:
        raise MalformedURL(_BACKSLASH)
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise MalformedURL(_HOST if len(text) < 65_536 else "the URL is over 64 KiB long") from None
    host = url.raw_host.decode("ascii")
    if ":" not in host and not _HOST_NAME.fullmatch(host):
        raise MalformedURL(_HOST)
    return ParsedURL.of(url)


def add_params(text: str, params: Params) -> str:
    """Append parameters to the URL's own query, which is unchanged, and remove the fragment, which is never sent.

    Raises `TypeError` or `UnicodeError` for a value that cannot be encoded.
    """
    text = text.partition("#")[0]
    added = encode_params(params)
    if not added:
        return text
    mark = "" if text.endswith(("?", "&")) and "?" in text else "&" if "?" in text else "?"
    return f"{text}{mark}{added}"


def encode_params(params: Params) -> str:
    """Encode a query or a form; raises `TypeError` or `UnicodeError` for a value that cannot be encoded."""
    return str(httpx.QueryParams({name: _format_scalars(value) for name, value in params.items()}))


def _format_scalars(value: Scalar | Sequence[Scalar]) -> Scalar | Sequence[Scalar]:
    """Format numbers as expressions do inside text: `1e20`, where Python writes `1e+20`."""
    if isinstance(value, float) and math.isfinite(value):
        return msgspec.json.encode(value).decode()
    return [cast(Scalar, _format_scalars(each)) for each in value] if isinstance(value, list | tuple) else value


def split_url(text: str) -> tuple[str | None, str | None, str]:
    """Return scheme, authority and path of a URL or a relative reference; None for a missing part."""
    found = _PARTS.match(text)
    assert found is not None, "every part is optional"
    return found[1], found[2], found[3]


def find_problem(text: str) -> str | None:
    """Return what is wrong with the characters of a URL or of a part of one."""
    if text != text.strip():
        return _BLANK
    if found := _CONTROL.search(text):
        return f"the URL has a control character (U+{ord(found[0]):04X}); remove it, or percent-encode it"
    return None


def _ensure_characters(text: str) -> None:
    """Reject characters that are not valid in URLs; raises `MalformedURL`."""
    if problem := find_problem(text):
        raise MalformedURL(problem)


def _ensure_scheme(scheme: str | None, text: str) -> None:
    """Reject schemes other than http and https; raises `MalformedURL`."""
    if scheme is None:
        raise MalformedURL(NO_SCHEME)
    if scheme.lower() in {"http", "https"}:
        return
    if re.match(r"[^:/?#]+:\d+(?:[/?#]|$)", text):
        raise MalformedURL("the URL has no scheme; write http:// or https:// before the host")
    raise MalformedURL("the URL's scheme is neither http nor https")


def _ensure_authority(authority: str) -> None:
    """Reject user and password, and an invalid host or port; raises `MalformedURL`."""
    if "@" in authority:
        raise MalformedURL(USERINFO)
    if "\\" in authority:
        raise MalformedURL(_BACKSLASH)
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise MalformedURL(_HOST if authority.startswith("[") else _PORT)
    host, port = found[1], found[2]
    if not host:
        raise MalformedURL(_NO_HOST)
    _ensure_port(port or "")
    if "%" in host:
        zone = host.startswith("[")
        raise MalformedURL("the URL's IPv6 address names a zone, which is not supported" if zone else _HOST)
    if re.search(r"\s", host):
        raise MalformedURL("the URL has white space in its host; remove it")
    if host.startswith("["):
        _ensure_ipv6(host[1:-1])


def _ensure_port(port: str) -> None:
    """Reject a port that cannot be connected to; raises `MalformedURL`."""
    if not port:
        return
    found = _PORT_NUMBER.fullmatch(port)
    if found is None or not found[1] or int(found[1]) > 65_535:
        raise MalformedURL(_PORT)


def _ensure_ipv6(text: str) -> None:
    try:
        IPv6Address(text)
    except ValueError:
        raise MalformedURL(_HOST) from None


# -- in a pipeline file -------------------------------------------------------------------------------------------


def ensure_written(text: str, *, is_alone: bool) -> None:
    """Check a URL, or part of one, that contains expressions: raises `LiteralError` if it is invalid with any values.

    `is_alone`: no base URL precedes it.
    """
    try:
        _ensure_written(_EXPRESSION.sub(_VALUE, text), is_alone=is_alone)
    except MalformedURL as error:
        raise LiteralError(str(error)) from None


def _ensure_written(text: str, *, is_alone: bool) -> None:
    _ensure_characters(text)
    scheme, authority, path = split_url(text)
    if scheme is None and authority is None:
        if not text.startswith(_VALUE):
            if is_alone:
                raise MalformedURL(RELATIVE)
        elif found := re.match("[^/?#]+://([^/?#]*)", text):
            scheme, authority = "https", found[1]
    else:
        _ensure_scheme(scheme, text)
        if not authority:
            raise MalformedURL(_NO_HOST)
    if authority is not None:
        _ensure_written_authority(authority)
    if "\\" in path:
        raise MalformedURL(_BACKSLASH)


def _ensure_written_authority(authority: str) -> None:
    if "@" in authority:
        raise MalformedURL(USERINFO)
    if _VALUE not in authority or "[" not in authority:
        parse_url("http://" + authority.replace(_VALUE, "1"))
