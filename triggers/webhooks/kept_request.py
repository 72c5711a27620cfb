"""The request of a delivery as the journal keeps it, so that it can be read and replayed.

The body is kept byte for byte. The head is JSON: the undecoded path and query, the headers in their order, and what the
route matched. A header that bears a credential is kept as a keyed hash: it shows whether two requests carried the same
one, and whether that is a webhook's present secret, and reveals nothing else.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self
from urllib.parse import quote, unquote_to_bytes

import msgspec

from triggers.webhooks.request import Pairs, Rejected, WebhookRequest
from triggers.webhooks.scheme import Scheme, Token
from triggers.webhooks.signature import encode_secret, read_token
from triggers.webhooks.trigger import WebhookTrigger

_encode = msgspec.json.Encoder().encode


class KeptHeader(msgspec.Struct, frozen=True, array_like=True):
    """A header: its value, or the hash of a credential."""

    name: str
    value: str | None
    hash: str | None = None


class RequestHead(msgspec.Struct, frozen=True):
    """A request without its method and body. `parameters`: the parts of the path that its route names, undecoded."""

    path: str
    query: str
    headers: list[KeptHeader]
    parameters: dict[str, str] = {}

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a head as it is stored; raises `msgspec.MsgspecError` if it is damaged."""
        return msgspec.json.decode(data, type=cls)


def encode_head(
    request: WebhookRequest, hook: WebhookTrigger | None, parameters: Mapping[str, str], key: bytes
) -> bytes:
    """Encode the head of a request for a webhook. Credentials become hashes under `key`."""
    bearing = hook.bearing if hook else ()
    headers = [
        pair if pair[0] not in bearing else (pair[0], None, _hash_header(hook, pair[0], pair[1], key))
        for pair in request.headers
    ]
    query = request.query_string
    if query and hook and hook.query_token is not None:
        query = _withhold_value(query, hook.query_token)
    return _encode({"path": request.path, "query": query, "headers": headers, "parameters": parameters})


def restore_request(method: str, head: RequestHead, body: bytes) -> WebhookRequest:
    """The request, without the headers of which only a hash is kept."""
    headers = tuple([(each.name, each.value) for each in head.headers if each.value is not None])
    return WebhookRequest(method, head.path, head.query, headers, body)


def restore_credential(
    request: WebhookRequest, head: RequestHead, scheme: Scheme | None, secrets: Sequence[str], key: bytes
) -> WebhookRequest:
    """The request with the header of a token, if the hash of what was sent is that of one of these secrets."""
    if not isinstance(scheme, Token):
        return request
    hashes = {each.hash for each in head.headers if each.name == scheme.header}
    for secret in map(encode_secret, secrets):
        if secret and _hash(secret, key) in hashes:
            headers: Pairs = (*request.headers, (scheme.header, _write_token(scheme, secret)))
            return WebhookRequest(request.method, request.path, request.query_string, headers, request.body)
    return request


def _write_token(scheme: Token, secret: bytes) -> str:
    match scheme.carrier:
        case "header":
            return secret.decode("latin-1")
        case "bearer":
            return f"Bearer {secret.decode('latin-1')}"
        case "basic":
            return f"Basic {base64.b64encode(secret).decode()}"


def _hash_header(hook: WebhookTrigger | None, name: str, value: str, key: bytes) -> str:
    """The hash of a header; of its token alone if the webhook reads a token there."""
    scheme = hook.verifier.scheme if hook else None
    if isinstance(scheme, Token) and name == scheme.header:
        with suppress(Rejected):
            return _hash(read_token(scheme, value), key)
    return _hash(value.encode("utf-8", "surrogatepass"), key)


def _hash(data: bytes, key: bytes) -> str:
    return hashlib.blake2b(data, key=key, digest_size=32).hexdigest()


def _withhold_value(query: str, name: str) -> str:
    """A query without the values of this name."""
    pairs = []
    for pair in query.split("&"):
        given = pair.partition("=")[0]
        is_named = unquote_to_bytes(given.replace("+", " ")) == name.encode()
        pairs.append(f"{given}={quote(WITHHELD)}" if is_named else pair)
    return "&".join(pairs)


WITHHELD = "withheld"
"""Stands in a query for the token of a handshake."""
