"""Routes: which webhook a request's path belongs to.

A path is matched as it was sent, part by part: an encoded slash (`%2F`) belongs to its part. The same bytes are the
same path, percent-encoded or not. Paths that proxies read in different ways match nothing: empty parts, `.` and `..`.
"""

from collections.abc import Mapping
from re import Pattern
from urllib.parse import unquote_to_bytes

from starlette.routing import compile_path

from durable.charsets import Charset, Undecodable
from durable.wording import quote
from triggers.http.body import BadRequest

PREFIX = "/hooks"
"""The path below which webhooks are served."""

_SLASH = "\ue000"
"""Represents an encoded slash. Paths are kept as Latin-1, which does not contain this character."""


def compile_route(path: str) -> Pattern[str]:
    """Compile a trigger's path to a pattern for `fullmatch`."""
    pattern, _, _ = compile_path(_decode_parts(path.encode().decode("latin-1")))
    return pattern


def read_path(raw: str) -> str | None:
    """The path of a request (its bytes as Latin-1) in the form that patterns match; None if no route can match it."""
    path = _decode_parts(raw) if "%" in raw else raw
    return None if "/." in path and has_dots(path) else path


def has_dots(path: str) -> bool:
    """Whether a part of the path is `.` or `..`."""
    return not {".", ".."}.isdisjoint(path.split("/"))


def read_parameters(found: Mapping[str, str], charset: Charset) -> dict[str, str]:
    """The named parts of a path as text; raises `BadRequest`."""
    return {name: _decode_text(name, part, charset) for name, part in found.items()}


def _decode_text(name: str, part: str, charset: Charset) -> str:
    try:
        return charset.decode(part.replace(_SLASH, "/").encode("latin-1"))
    except Undecodable as error:
        raise BadRequest(
            f"the part {quote(name)} of the path is not {error.charset}: {error.what}; send UTF-8, or name its charset"
            " with `charset` in the webhook's trigger"
        ) from None


def _decode_parts(path: str) -> str:
    return "/".join([_decode_part(part) for part in path.split("/")])


def _decode_part(part: str) -> str:
    return unquote_to_bytes(part.encode("latin-1")).decode("latin-1").replace("/", _SLASH)
