"""Bodies of requests: JSON, forms, multipart, GraphQL, text and binary data."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import httpx
import msgspec

from connectors.declared.compiled import BodyKind, DeclaredAction
from connectors.declared.parameters import make_params
from connectors.wire.errors import InvalidRequest
from connectors.wire.url import encode_params
from durable import values, wording
from durable.values import JSON, NotJSON

_PART_KEYS = frozenset({"text", "base64", "filename", "content_type"})
_OCTETS = "application/octet-stream"

Part: TypeAlias = tuple[str, tuple[str | None, bytes, str | None]]
"""A name, and a filename, content and content type."""


class EncodedBody(NamedTuple):
    """A body as it is sent, and its content type."""

    content: bytes
    media_type: str


def encode_body(declared: DeclaredAction, body: JSON, key: str) -> EncodedBody:
    """Return a rendered body as it is sent; the same bytes for the same body and key. Raises `InvalidRequest`."""
    encoded = _ENCODERS[declared.encode](declared, body, key)
    if declared.media_type is None:
        return encoded
    _, mark, boundary = encoded.media_type.partition("; boundary=")
    return EncodedBody(encoded.content, f"{declared.media_type}{mark}{boundary}")


def _encode_json(_: DeclaredAction, body: JSON, __: str) -> EncodedBody:
    return EncodedBody(_to_json(body), "application/json")


def _encode_form(declared: DeclaredAction, body: JSON, _: str) -> EncodedBody:
    fields = make_params(_require_mapping(body, "form"), declared.styles, "deep")
    try:
        return EncodedBody(encode_params(fields).encode(), "application/x-www-form-urlencoded")
    except UnicodeError as error:
        raise InvalidRequest(f"the form cannot be sent: {error}") from None


def _encode_graphql(_: DeclaredAction, body: JSON, __: str) -> EncodedBody:
    given = _require_mapping(body, "graphql body")
    variables = given.get("variables")
    if isinstance(variables, dict):
        given = given | {"variables": {name: value for name, value in variables.items() if value is not None}}
    return EncodedBody(_to_json(given), "application/json")


def _encode_text(_: DeclaredAction, body: JSON, __: str) -> EncodedBody:
    return EncodedBody(_to_bytes(body), "text/plain; charset=utf-8")


def _encode_base64(_: DeclaredAction, body: JSON, __: str) -> EncodedBody:
    return EncodedBody(_decode_base64(body, "the body"), _OCTETS)


def _encode_multipart(_: DeclaredAction, body: JSON, key: str) -> EncodedBody:
    parts = [
        part for name, value in _require_mapping(body, "multipart body").items() for part in _make_parts(name, value)
    ]
    boundary = _choose_boundary(key, b"".join(content for _, (_, content, _) in parts))
    media_type = f"multipart/form-data; boundary={boundary}"
    # httpx writes nothing without a file, and takes plain texts as files without a name
    request = httpx.Request("POST", "http://x", files=parts, headers={"content-type": media_type})
    return EncodedBody(request.read() or f"--{boundary}--\r\n".encode(), media_type)


def _make_parts(name: str, value: JSON) -> list[Part]:
    match value:
        case None:
            return []
        case list():
            return [part for item in value for part in _make_parts(name, item)]
        case dict() if _is_content(value):
            return [(name, _read_content(name, value))]
        case dict():
            return [(name, (None, _to_json(value), "application/json"))]
        case _:
            return [(name, (None, _to_bytes(value), None))]


def _is_content(value: Mapping[str, JSON]) -> bool:
    return value.keys() <= _PART_KEYS and ("text" in value) is not ("base64" in value)


def _read_content(name: str, given: Mapping[str, JSON]) -> tuple[str | None, bytes, str | None]:
    filename, media_type = given.get("filename"), given.get("content_type")
    for each in (filename, media_type):
        if each is not None and not (isinstance(each, str) and each.isprintable()):
            raise InvalidRequest(
                f"'filename' and 'content_type' of the part {wording.quote(name)} must be text on one line"
            )
    is_text = "text" in given
    content = (
        _to_bytes(given["text"]) if is_text else _decode_base64(given["base64"], f"the part {wording.quote(name)}")
    )
    default = None if is_text else _OCTETS
    return _as_text(filename), content, _as_text(media_type) or default


def _as_text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None


def _choose_boundary(key: str, contents: bytes) -> str:
    """Return a boundary that no content contains, derived from the key, so that a repeated request has the same
    bytes."""
    boundary = hashlib.sha256(key.encode()).hexdigest()[:32]
    while boundary.encode() in contents:
        boundary = hashlib.sha256(boundary.encode()).hexdigest()[:32]
    return boundary


def _require_mapping(body: JSON, what: str) -> dict[str, JSON]:
    if not isinstance(body, dict):
        raise InvalidRequest(f"the {what} must be a mapping, not {wording.name_kind(body)}")
    return body


def _to_json(body: JSON) -> bytes:
    try:
        return values.encode(body)
    except NotJSON as error:
        raise InvalidRequest(f"the body cannot be sent: {error}") from error


def _to_bytes(value: JSON) -> bytes:
    if value is None or isinstance(value, dict | list):
        raise InvalidRequest(f"a text is expected in the body, not {wording.name_kind(value)}")
    try:
        return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise InvalidRequest("the body contains a lone surrogate, which is not a character") from None


def _decode_base64(value: JSON, what: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidRequest(f"{what} must be base64, not {wording.name_kind(value)}")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{what} is not valid base64") from None


_ENCODERS: Mapping[BodyKind, Callable[[DeclaredAction, JSON, str], EncodedBody]] = {
    "json": _encode_json,
    "form": _encode_form,
    "multipart": _encode_multipart,
    "graphql": _encode_graphql,
    "text": _encode_text,
    "base64": _encode_base64,
}
