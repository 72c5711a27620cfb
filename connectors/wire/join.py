"""Joins a step's URL to its connection's `base_url`, and never leaves it, so that credentials stay there."""

import re
from urllib.parse import unquote

from connectors.wire.errors import InvalidRequest
from connectors.wire.url import MalformedURL, ParsedURL, find_problem, parse_url

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\]{2}")
_ENCODINGS = 3
"""A `..` is detected under this many levels of encoding; no service decodes more."""

_UNSEEN = "".join(map(chr, range(0x21)))


def is_absolute(url: str) -> bool:
    """Whether the URL has a scheme or a host."""
    return _ABSOLUTE.match(url) is not None


def join_url(base_url: str, url: str) -> str:
    """Return the URL below the base; raises `ActionError` if it is outside of it."""
    if problem := find_problem(url):
        raise InvalidRequest(problem)
    path = re.split("[?#]", url, maxsplit=1)[0]
    if climbs(path):
        raise InvalidRequest("the URL has '..' in its path, which could lead out of the connection's base_url")
    try:
        target = url if is_absolute(url) else _below(base_url, url, path)
        is_there = _is_below(parse_url(base_url), parse_url(target))
    except MalformedURL as error:
        raise InvalidRequest(f"the URL cannot be joined to the connection's base_url: {error}") from None
    if not is_there:
        raise InvalidRequest("the URL is not below the connection's base_url, and its credentials go nowhere else")
    return target


def _below(base_url: str, url: str, path: str) -> str:
    return f"{base_url.rstrip('/')}/{url.removeprefix('/')}" if path else base_url + url


def _is_below(base: ParsedURL, target: ParsedURL) -> bool:
    folder = base.target.rstrip(b"/")
    path = target.target.partition(b"?")[0]
    return base.origin == target.origin and (path.rstrip(b"/") == folder or path.startswith(folder + b"/"))


def climbs(path: str) -> bool:
    """Whether a path segment is `..`, in any encoding that a service might decode."""
    for _ in range(_ENCODINGS + 1):
        if any(part.partition(";")[0].strip(_UNSEEN) == ".." for part in re.split(r"[/\\]", path)):
            return True
        path = unquote(path)
    return False
