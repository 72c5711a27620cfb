"""The body of an inbound request: read within bounds, then parsed strictly.

    Unreadable   the sender's mistake; `status` is the 4xx to answer with

Whoever hangs up while sending is `starlette.requests.ClientDisconnect`: nobody is left to answer. To be parsed, a
body must have been verified before.
"""

import asyncio
import base64
import re
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from durable.values import JSON, NESTING_LIMIT, NotJSON, Value, decode

FIELD_LIMIT = 1_000
"""Fields that a form may have."""

LEVEL_LIMIT = NESTING_LIMIT // 2
"""Levels that a body may have: fewer than a value may, since it will stand inside others."""

IS_WHOLE = "waypost.is_whole"
"""The extension of a scope by which the server says that the body is there: it needs no deadline, and a deadline is
a seventh of what a request costs."""

_TEXT_TYPE = re.compile(r"text/.+|application/(xml|yaml|x-ndjson|graphql|javascript)|.+\+(xml|yaml)")
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1", "windows-1252": "cp1252"}
"""The charsets of text; codecs are not looked up by a name that a sender chose."""


class Unreadable(ValueError):
    """The body cannot be taken: `status` is 400 for what is malformed, 408, 413 or 415 for what is not accepted."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Bounds(NamedTuple):
    """How large a body may be, in bytes, and how long it may take to arrive, in seconds."""

    limit: int
    deadline: float


async def read_body(request: Request, bounds: Bounds) -> bytes:
    """The whole body of a request; see `receive_body`."""
    return await receive_body(request.scope, request.receive, bounds)


async def receive_body(scope: Scope, receive: Receive, bounds: Bounds) -> bytes:
    """The whole body, of `limit` bytes at most, which must have come before the deadline.

    Bytes are counted as they come, whatever was declared. Raises `Unreadable` and `ClientDisconnect`.
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
        raise Unreadable(message, 408) from None
    return bytes(body)


async def _receive(body: bytearray, receive: Receive, limit: int) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk


def _refuse_declared(scope: Scope, limit: int) -> None:
    """Raise `Unreadable` for a body that is known to be too large or compressed before it is read."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > len(str(limit)) or int(value) > limit):
            raise _too_large(limit)
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise Unreadable("compressed bodies are not accepted; send it without Content-Encoding", 415)


def _too_large(limit: int) -> Unreadable:
    return Unreadable(f"the body is larger than the {limit} bytes that are accepted", 413)


def parse(body: bytes, content_type: str | None) -> JSON:
    """The body as JSON; raises `Unreadable`.

    JSON as it stands (of a repeated key the last counts, as in every parser that senders test with); a form as a
    mapping (a repeated field as a list); text and XML as text; anything else, files and multipart included, as
    `{base64, content_type}`. Without a content type: JSON if it begins as a mapping or list, else text. No bytes: null.
    """
    return _read(body, content_type)[0]


def parse_and_keep(body: bytes, content_type: str | None) -> tuple[JSON, Value]:
    """What `parse` makes of the body, and the same as an event keeps it; raises `Unreadable`.

    JSON is kept as it was sent, since to check and encode again what it says is a quarter of the work on a request.
    """
    parsed, is_json = _read(body, content_type)
    return parsed, Value.encoded(body) if is_json else Value.of(parsed)


def _read(body: bytes, content_type: str | None) -> tuple[JSON, bool]:
    """What the body says, and whether it is JSON as it stands."""
    if not body:
        return None, False
    kind, charset = _content_type(content_type, body)
    if kind == "application/json" or kind.endswith("+json"):
        return _json(body), True
    if kind == "application/x-www-form-urlencoded":
        return _form(body), False
    if _TEXT_TYPE.fullmatch(kind):
        return _text(body, charset), False
    return {"base64": base64.b64encode(body).decode(), "content_type": content_type}, False


def _content_type(value: str | None, body: bytes) -> tuple[str, str]:
    """The media type and charset, in lower case."""
    kind, *parameters = (value or "").lower().split(";")
    if not kind.strip():
        return ("application/json" if body.lstrip()[:1] in (b"{", b"[") else "text/plain"), "utf-8"
    charset = next((text.strip()[8:].strip('"') for text in parameters if text.strip().startswith("charset=")), "utf-8")
    return kind.strip(), charset


def _json(body: bytes) -> JSON:
    if body.startswith(b"\xef\xbb\xbf"):
        raise Unreadable("the body begins with a byte order mark; JSON is sent without one")
    try:
        value = decode(body)
    except NotJSON as error:
        raise Unreadable(f"the body is not JSON: {error}") from None
    # Brackets are the upper bound of levels, and counting them costs next to nothing.
    if body.count(b"[") + body.count(b"{") > LEVEL_LIMIT and _is_deeper(value, LEVEL_LIMIT):
        raise Unreadable(f"the body is nested deeper than the {LEVEL_LIMIT} levels that are accepted")
    return value


def _is_deeper(value: JSON, limit: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
    return bool(level)


def _form(body: bytes) -> JSON:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=FIELD_LIMIT
        )
    except UnicodeDecodeError:
        raise Unreadable("the form is not UTF-8") from None
    except ValueError:
        raise Unreadable(f"the form has more than the {FIELD_LIMIT} fields that are accepted", 413) from None
    fields: dict[str, list[JSON]] = {}
    for name, text in pairs:
        fields.setdefault(name, []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in fields.items()}


def _text(body: bytes, charset: str) -> str:
    codec = _CHARSETS.get(charset)
    if codec is None:
        raise Unreadable(f"text in this charset is not accepted; send {', '.join(_CHARSETS)}", 415)
    try:
        return body.decode(codec)
    except UnicodeDecodeError as error:
        raise Unreadable(f"the body is not {charset}: byte {error.start} cannot be read") from None
