"""Request bodies: read within limits, then parsed strictly.

BadRequest   the request cannot be used; `status` is the 4xx of the response

A client that disconnects raises `starlette.requests.ClientDisconnect`. Only verified bodies may be parsed.
"""

import asyncio
import base64
import contextlib
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from durable.charsets import (
    UTF_8,
    Charset,
    Undecodable,
    UnknownCharset,
    convert_json_to_utf_8,
    decode_text,
    find_charset,
    find_inner_charset,
    find_marked,
    guess_wide,
)
from durable.media_type import FORM, MediaType, parse_media_type
from durable.values import (
    JSON,
    NESTING_LIMIT,
    NULL,
    VALUES_LIMIT,
    NotJSON,
    Value,
    decode,
    has_too_many_values,
    is_deeper,
)
from durable.wording import quote
from triggers.http.urlencoded import RawPairs, TooManyFields, UndecodableField, collect_pairs, decode_pairs, split_pairs

FIELD_LIMIT = 1_000
"""The fields of a form or a query."""

LEVEL_LIMIT = NESTING_LIMIT // 2
"""The nesting of a body: less than that of a value, since the body becomes a part of larger values."""

IS_WHOLE = "waypost.is_whole"
"""The extension of an ASGI scope by which the server says that the whole body has arrived. It needs no deadline then,
which would take a seventh of the time of a request."""

UNDECLARED = find_charset(UTF_8)
"""The charset of bodies that declare none, unless the trigger names another."""

_ALWAYS_JSON = "*/json"
"""The media type of a body that must be JSON."""

_CHARSET_FIELDS = (b"_charset_", b"charset")
"""The fields in which a form declares its charset: the one of HTML and the one of PayPal."""


class BadRequest(ValueError):
    """The request cannot be used: `status` is 400 if it is malformed, 408, 413 or 415 if it is not accepted."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class BodyLimits(NamedTuple):
    """The size of a body in bytes, and the time in seconds within which it must arrive."""

    limit: int
    deadline: float


async def read_body(request: Request, bounds: BodyLimits) -> bytes:
    """The whole body of a request; see `receive_body`."""
    return await receive_body(request.scope, request.receive, bounds)


async def receive_body(scope: Scope, receive: Receive, bounds: BodyLimits) -> bytes:
    """Receive a whole body. Raises `BadRequest` and `ClientDisconnect`.

    Bytes are counted as they arrive, whatever length was declared.
    """
    limit, deadline = bounds
    _refuse_declared(scope, limit)
    body = bytearray()
    if IS_WHOLE in scope.get("extensions", ()):
        await _receive(body, receive, limit)
        return bytes(body)
    try:
        async with asyncio.timeout(deadline):
            await _receive(body, receive, limit)
    except TimeoutError:
        message = f"the body did not arrive within {deadline:g} s; {len(body)} bytes came"
        raise BadRequest(message, 408) from None
    return bytes(body)


async def _receive(body: bytearray, receive: Receive, limit: int) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if len(body) + len(chunk) > limit:
            raise _make_too_large(limit)
        body += chunk


def _refuse_declared(scope: Scope, limit: int) -> None:
    """Raise `BadRequest` if the headers already show that the body is too large or compressed."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > len(str(limit)) or int(value) > limit):
            raise _make_too_large(limit)
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise BadRequest("compressed bodies are not accepted; send it without Content-Encoding", 415)


def _make_too_large(limit: int) -> BadRequest:
    return BadRequest(f"the body is larger than the {limit} bytes that are accepted", 413)


def parse_body(body: bytes, content_type: str | None, charset: str = UTF_8) -> JSON:
    """The body as JSON; raises `BadRequest`.

    JSON stays as it is (the last of repeated keys counts, as in the parsers that senders test with); a form becomes a
    mapping (a repeated field a list); text and XML become text; anything else, files and multipart included, becomes
    `{base64, content_type}`. Without a content type it is JSON if it begins like a mapping or list, else text. An empty
    body is null.

    Bytes are decoded in the charset that the body declares, or else in `charset`.
    """
    return parse_and_encode(body, content_type, charset)[0]


def parse_and_encode(body: bytes, content_type: str | None, charset: str = UTF_8) -> tuple[JSON, Value]:
    """The body as JSON, and as an event keeps it; raises `BadRequest`.

    JSON is kept as it was sent, since checking and encoding it again would take a quarter of the time of a request.
    """
    if not body:
        return None, NULL
    media = parse_media_type(content_type or "")
    if media.is_json:
        return _parse_json(body, media, charset)
    if not media.kind:
        media = _sniff_media_type(body)
        return _parse_json(body, media, charset) if media.is_json else _encode(_decode_text(body, media, charset))
    if media.kind == FORM:
        return _parse_form(body, media, charset)
    if media.is_text:
        return _encode(_decode_text(body, media, charset))
    return _encode({"base64": base64.b64encode(body).decode(), "content_type": content_type})


def parse_json_body(body: bytes, content_type: str | None) -> JSON:
    """The body as JSON, whatever its media type says, in the charset that this declares; raises `BadRequest`."""
    return _parse_json(body, MediaType(_ALWAYS_JSON, parse_media_type(content_type or "").charset), UTF_8)[0]


def explain_media_type(body: bytes, content_type: str | None) -> str | None:
    """How a body was read, and why; None for JSON and for an empty body."""
    media = parse_media_type(content_type or "")
    if body and not media.kind:
        media = _sniff_media_type(body)
    if not body or media.is_json:
        return None
    return _explain_reading("a form" if media.kind == FORM else "text" if media.is_text else "a file", media)


def read_query(query: bytes, charset: Charset = UNDECLARED, cure: str = "send it in UTF-8") -> list[tuple[str, str]]:
    """The names and values of a query; raises `BadRequest`."""
    if not query:
        return []
    try:
        return decode_pairs(split_pairs(query, FIELD_LIMIT), charset)
    except TooManyFields as error:
        raise BadRequest(f"the query cannot be read: {error}") from None
    except UndecodableField as error:
        raise BadRequest(f"the query cannot be read: {error}; {cure}") from None


def _encode(parsed: JSON) -> tuple[JSON, Value]:
    return parsed, Value.of(parsed)


def _sniff_media_type(body: bytes) -> MediaType:
    """The media type of a body that declares none."""
    charset = find_marked(body)
    beginning = body[:100].decode(charset.name if charset else guess_wide(body) or UTF_8, "ignore")
    begins = beginning.lstrip("\ufeff \t\r\n")
    if begins.startswith(("{", "[")):
        return MediaType("application/json", is_declared=False)
    return MediaType("application/xml" if begins.startswith("<?xml") else "text/plain", is_declared=False)


# -- JSON -------------------------------------------------------------------------------------------------------------


def _parse_json(body: bytes, media: MediaType, default: str) -> tuple[JSON, Value]:
    """The value, and its bytes in UTF-8."""
    try:
        body = convert_json_to_utf_8(body, media.charset or default)
        if not body:
            return None, NULL
        if has_too_many_values(body):
            message = f"the body has more than the {VALUES_LIMIT:,} values that are accepted; send it in parts"
            raise BadRequest(message)
        value = decode(body)
    except Undecodable as error:
        raise BadRequest(
            f"{_explain_reading('JSON', media)}, and {error}; {_suggest_charset(is_declared=True)}"
        ) from None
    except NotJSON as error:
        raise BadRequest(
            f"{_explain_reading('JSON', media)}, but is not valid JSON: {error}{_explain_ignored_charset(media)}"
        ) from None
    # Brackets are the upper bound of levels, and counting them costs next to nothing.
    if body.count(b"[") + body.count(b"{") > LEVEL_LIMIT and is_deeper(value, LEVEL_LIMIT):
        raise BadRequest(f"the body is nested deeper than the {LEVEL_LIMIT} levels that are accepted")
    return value, Value.from_json(body)


def _explain_ignored_charset(media: MediaType) -> str:
    """A remark about an unknown charset that was declared: JSON is read as UTF-8 then."""
    try:
        find_charset(media.charset or UTF_8)
    except UnknownCharset as unknown:
        return f"; {unknown}"
    return ""


# -- text and forms ---------------------------------------------------------------------------------------------------


def _decode_text(body: bytes, media: MediaType, default: str) -> str:
    """The text. A byte order mark takes precedence over `Content-Type`, and that over what XML or HTML declare."""
    declared = media.charset or find_inner_charset(body, media)
    try:
        return decode_text(body, declared or default)
    except UnknownCharset as error:
        raise BadRequest(f"{_explain_reading('text', media)}: {error}", 415) from None
    except Undecodable as error:
        raise BadRequest(
            f"{_explain_reading('text', media)}, and {error}; {_suggest_charset(is_declared=bool(declared))}"
        ) from None


def _parse_form(body: bytes, media: MediaType, default: str) -> tuple[JSON, Value]:
    if body.lstrip()[:1] in (b"{", b"["):
        # A form's own `{` is percent-encoded: this is `curl -d`, or a sender that names a form and sends JSON.
        with contextlib.suppress(BadRequest):
            return _parse_json(body, media, default)
    declared = None
    try:
        declared = find_charset(media.charset) if media.charset else None
        if find_marked(body) or (declared and not declared.has_ascii):
            if body[0] > 0x7F or b"\0" in body:
                body = decode_text(body, media.charset or UTF_8).encode()
            declared = UNDECLARED  # what is percent-encoded is UTF-8 then, as in a browser's forms
        pairs = split_pairs(body, FIELD_LIMIT)
        declared = declared or _find_declared_charset(pairs)
        fields = decode_pairs(pairs, declared or find_charset(default))
    except TooManyFields as error:
        raise BadRequest(f"{_explain_reading('a form', media)}: {error}", 413) from None
    except UnknownCharset as error:
        raise BadRequest(f"{_explain_reading('a form', media)}: {error}", 415) from None
    except (Undecodable, UndecodableField) as error:
        raise BadRequest(
            f"{_explain_reading('a form', media)}: {error}; {_suggest_charset(is_declared=bool(declared))}"
        ) from None
    if fields:
        name, value = fields[0]
        fields[0] = (name.removeprefix("\ufeff"), value)
    return _encode(collect_pairs(fields))


def _find_declared_charset(pairs: RawPairs) -> Charset | None:
    """The charset that a field of the form declares."""
    said = {name.lower(): value for name, value in reversed(pairs)}
    for name in _CHARSET_FIELDS:
        with contextlib.suppress(UnknownCharset):
            charset = find_charset(said.get(name, b"").decode("ascii", "replace"))
            if charset.has_ascii:
                return charset
    return None


def _explain_reading(what: str, media: MediaType) -> str:
    """How the body was read, and why."""
    if media.kind == _ALWAYS_JSON:
        return "the body must be JSON"
    why = (
        f"its Content-Type is {quote(media.kind)}"
        if media.is_declared
        else f"it has no Content-Type and looks like {what}"
    )
    return f"the body is read as {what} because {why}"


def _suggest_charset(*, is_declared: bool) -> str:
    if is_declared:
        return "declare the charset that it is in"
    return "send UTF-8, or declare its charset in Content-Type; a webhook's trigger can name it with `charset`"
