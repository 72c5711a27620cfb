"""`hmac`: a signature over parts of the request, made with a shared secret (RFC 2104).

The timestamp and the nonce are new in every request, also when an attempt is repeated: services refuse old timestamps
and nonces that they have seen. What stays the same is the idempotency key.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from connectors.auth.request import OutgoingRequest
from connectors.wire.errors import InvalidRequest
from connectors.wire.request import find_header_problem
from durable.action import Context, Credential, Inputs, LiteralError, Secret
from durable.auth_schemes import AuthScheme
from durable.clock import now
from durable.wording import quote, suggest

Encoding: TypeAlias = Literal["hex", "base64"]

PARTS = frozenset({"method", "url", "host", "target", "path", "query", "body", "body_sha256", "timestamp", "nonce"})
"""The parts of a request that can be signed."""

_PART = re.compile(r"\{\{.*?\}\}|\{([^{}]*)\}", re.DOTALL)


def _check_parts(text: str, info: ValidationInfo) -> str:
    for part in _find_parts(text) - PARTS:
        hint = suggest(part, PARTS) or f"the parts are {', '.join(sorted(PARTS))}"
        raise LiteralError(f"{quote('{' + part + '}')} is not a part of a request; {hint}")
    return text


def _find_parts(text: str) -> set[str]:
    return {found[1] for found in _PART.finditer(text) if found[1] is not None}


def _check_name(name: str) -> str:
    if problem := find_header_problem(name):
        raise LiteralError(problem)
    return name


HeaderName = Annotated[str, AfterValidator(_check_name)]


class Placement(Inputs):
    """Where a value is sent: in a header or in a query parameter."""

    header: HeaderName | None = Field(default=None, description="The name of the header")
    param: str | None = Field(default=None, min_length=1, description="The name of the query parameter")

    @model_validator(mode="after")
    def check_one_place(self) -> Self:
        if (self.header is None) == (self.param is None):
            raise ValueError("name one place: 'header' or 'param'")
        return self


class SignedTimestamp(Placement):
    """Where the time of the request is sent, and how it is written."""

    format: Literal["s", "ms", "iso", "http"] = Field(
        default="s",
        description="Seconds or milliseconds since 1970, `iso` (2026-12-01T10:00:00Z), or `http` (Tue, 01 Dec 2026 "
        "10:00:00 GMT)",
    )


class HmacSettings(Placement):
    """What is signed and how; `header` or `param` is where the signature is sent."""

    secret: Credential = Field(min_length=1, description="The shared secret")
    key_encoding: Literal["utf8", "hex", "base64"] = Field(
        default="utf8", description="How the key is made from the secret: its text, or the bytes that it encodes"
    )
    algorithm: Literal["sha1", "sha256", "sha512"] = Field(default="sha256", description="The hash of the HMAC")
    sign: Annotated[str, AfterValidator(_check_parts)] = Field(
        min_length=1,
        description="The signed text. `{method}`, `{url}`, `{host}`, `{target}` (path and query), `{path}`, `{query}`, "
        "`{body}`, `{body_sha256}` (in hex), `{timestamp}` and `{nonce}` are parts of the request",
    )
    encoding: Encoding = Field(default="hex", description="How the signature is written")
    prefix: Secret = Field(default="", description="Text before the signature, such as `sha256=`")
    timestamp: SignedTimestamp | None = Field(default=None, description="Where the time of the request is sent")
    nonce: Placement | None = Field(default=None, description="Where a random value, new in each request, is sent")

    @model_validator(mode="after")
    def check_parts_are_sent(self) -> Self:
        for part, placement in (("timestamp", self.timestamp), ("nonce", self.nonce)):
            if part in _find_parts(self.sign) and placement is None:
                raise LiteralError(f"'{{{part}}}' is signed but not sent; add '{part}' with its header")
        return self


async def sign_hmac(context: Context, settings: HmacSettings, request: OutgoingRequest) -> OutgoingRequest:
    return add_signature(context, settings, request, now(), secrets.token_hex(16))


def add_signature(
    context: Context, settings: HmacSettings, request: OutgoingRequest, at: int, nonce: str
) -> OutgoingRequest:
    """Return the request, signed at that time (in ms); raises `InvalidRequest`."""
    written = format_time(at, settings.timestamp.format) if settings.timestamp else ""
    if settings.timestamp:
        request = _place(request, settings.timestamp, written)
    if settings.nonce:
        request = _place(request, settings.nonce, nonce)
    request = request.settle_url()
    parts = _get_parts(request) | {"timestamp": written.encode(), "nonce": nonce.encode()}
    digest = hmac.digest(_decode_key(settings), _fill(settings.sign, parts), settings.algorithm)
    signature = digest.hex() if settings.encoding == "hex" else base64.b64encode(digest).decode()
    context.conceal(signature)
    return _place(request, settings, settings.prefix + signature)


def format_time(at: int, format: str) -> str:
    """Write a time, given in ms."""
    moment = datetime.fromtimestamp(at // 1000, UTC)
    match format:
        case "ms":
            return str(at)
        case "iso":
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "http":
            return format_datetime(moment, usegmt=True)
        case _:
            return str(at // 1000)


def _get_parts(request: OutgoingRequest) -> dict[str, bytes]:
    url, body = request.parse_url(), request.content or b""
    path, _, query = url.target.partition(b"?")
    return {
        "method": request.method.encode(),
        "url": url.text.encode(),
        "host": url.host,
        "target": url.target,
        "path": path,
        "query": query,
        "body": body,
        "body_sha256": hashlib.sha256(body).hexdigest().encode(),
    }


def _fill(text: str, parts: Mapping[str, bytes]) -> bytes:
    """Return the signed text. The body is inserted as bytes, and nothing inside a part is replaced."""
    filled, done = b"", 0
    for found in _PART.finditer(text):
        if found[1] is not None:
            filled += text[done : found.start()].encode() + parts[found[1]]
            done = found.end()
    return filled + text[done:].encode()


def _decode_key(settings: HmacSettings) -> bytes:
    try:
        match settings.key_encoding:
            case "hex":
                return bytes.fromhex(settings.secret)
            case "base64":
                return base64.b64decode(settings.secret, validate=True)
            case _:
                return settings.secret.encode()
    except (ValueError, binascii.Error):
        raise InvalidRequest(
            f"the request cannot be signed: the secret is not {settings.key_encoding}; change 'key_encoding'"
        ) from None


def _place(request: OutgoingRequest, placement: Placement, value: str) -> OutgoingRequest:
    if placement.header:
        return request.with_headers({placement.header: value})
    return request.with_params({placement.param or "": value})


HMAC = AuthScheme("hmac", HmacSettings, sign_hmac, "A signature made with a shared secret", is_signature=True)
