"""The body of an inbound request: read within bounds, then parsed strictly.

    Unreadable   the sender's mistake; `status` is the 4xx to answer with

Whoever hangs up while sending is `starlette.requests.ClientDisconnect`: nobody is left to answer. To be parsed, a
body must have been verified before.
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
"""Fields that a form or a query may have."""

LEVEL_LIMIT = NESTING_LIMIT // 2
"""Levels that a body may have: fewer than a value may, since it will stand inside others."""

IS_WHOLE = "waypost.is_whole"
"""The extension of a scope by which the server says that the body is there: it needs no deadline, and a deadline is
a seventh of what a request costs."""

UNDECLARED = find_charset(UTF_8)
"""The charset of what declares none, unless a trigger names another."""

_ALWAYS_JSON = "*/json"
"""The media type of a body that can be nothing but JSON."""

_CHARSET_FIELDS = (b"_charset_", b"charset")
"""The fields in which a form says its charset: as HTML has it, and as PayPal does."""


class BadRequest(ValueError):
    """The body cannot be taken: `status` is 400 for what is malformed, 408, 413 or 415 for what is not accepted."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class BodyLimits(NamedTuple):
    """How large a body may be, in bytes, and how long it may take to arrive, in seconds."""

    limit: int
    deadline: float


async def read_body(request: Request, bounds: BodyLimits) -> bytes:
    """The whole body of a request; see `receive_body`."""
    return await receive_body(request.scope, request.receive, bounds)


async def receive_body(scope: Scope, receive: Receive, bounds: BodyLimits) -> bytes:
    """The whole body, of `limit` bytes at most, which must have come before the deadline.

    Bytes are counted as they come, whatever was declared. Raises `BadRequest` and `ClientDisconnect`.
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
    """Raise `BadRequest` for a body that is known to be too large or compressed before it is read."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > len(str(limit)) or int(value) > limit):
            raise _make_too_large(limit)
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise BadRequest("compressed bodies are not accepted; send it without Content-Encoding", 415)


def _make_too_large(limit: int) -> BadRequest:
    return BadRequest(f"the body is larger than the {limit} bytes that are accepted", 413)


def parse_body(body: bytes, content_type: str | None, charset: str = UTF_8) -> JSON:
    """The body as JSON; raises `BadRequest`.

    JSON as it stands (of a repeated key the last counts, as in every parser that senders test with); a form as a
    mapping (a repeated field as a list); text and XML as text; anything else, files and multipart included, as
    `{base64, content_type}`. Without a content type: JSON if it begins as a mapping or list, else text. No bytes: null.

    Bytes are decoded in the charset that the body declares, and in `charset` if it declares none.
    """
    return parse_and_encode(body, content_type, charset)[0]


def parse_and_encode(body: bytes, content_type: str | None, charset: str = UTF_8) -> tuple[JSON, Value]:
    """What `parse_body` makes of the body, and the same as an event keeps it; raises `BadRequest`.

    JSON is kept as it was sent, since to check and encode again what it says is a quarter of the work on a request.
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
    """The body as JSON, whatever its media type, in the charset that this declares; raises `BadRequest`."""
    return _parse_json(body, MediaType(_ALWAYS_JSON, parse_media_type(content_type or "").charset), UTF_8)[0]


def explain_media_type(body: bytes, content_type: str | None) -> str | None:
    """What a body was taken for, and why; None of JSON and of no body."""
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
    """What a body without a media type is taken for."""
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
    """A remark on a declared charset that is not known: JSON is read in UTF-8 then."""
    try:
        find_charset(media.charset or UTF_8)
    except UnknownCharset as unknown:
        return f"; {unknown}"
    return ""


# -- text and forms ---------------------------------------------------------------------------------------------------


def _decode_text(body: bytes, media: MediaType, default: str) -> str:
    """The text. A byte order mark wins over `Content-Type`, and that over what XML or HTML says itself."""
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
    """The charset that one of the form's fields says, if it is one of a form."""
    said = {name.lower(): value for name, value in reversed(pairs)}
    for name in _CHARSET_FIELDS:
        with contextlib.suppress(UnknownCharset):
            charset = find_charset(said.get(name, b"").decode("ascii", "replace"))
            if charset.has_ascii:
                return charset
    return None


def _explain_reading(what: str, media: MediaType) -> str:
    """What the body is read as, and why."""
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
