"""Handshakes: a sender checks that its address is answered; no run is started.

A response repeats at most one short word without punctuation. It may be signed with the secret, as for Zoom, and a
signature of a text that a stranger chose could be used elsewhere. And it may be shown unchanged, as for Meta.
"""

import hmac
import re
from dataclasses import dataclass

import msgspec

from triggers.http.body import BadRequest
from triggers.webhooks.request import Rejected, WebhookRequest
from triggers.webhooks.scheme import Digest, Handshake, Ref

WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a response may repeat of a request."""


@dataclass(frozen=True, slots=True)
class HandshakeAnswer:
    """The response to a handshake; without a `media_type` it has no body."""

    status: int
    body: bytes = b""
    media_type: str | None = None


def is_met(handshake: Handshake, request: WebhookRequest) -> bool:
    """Whether the request is this handshake. Its body is read only if `when` names a part of it."""
    return request.method == handshake.method and all(
        request.find_value(ref, ()) == text for ref, text in handshake.when.items()
    )


def check_verify_token(ref: Ref, request: WebhookRequest, token: str) -> None:
    """Raise `Rejected` unless the request contains the operator's token."""
    if not token:
        raise Rejected("missing_secret", "the verify_token of this webhook is not set")
    sent = request.find_value(ref, ()) or ""
    if not hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), token.encode("utf-8", "surrogateescape")):
        raise Rejected("bad_signature", f"{ref.place}:{ref.name} is not this webhook's verify_token")


def answer_handshake(handshake: Handshake, request: WebhookRequest, key: bytes) -> HandshakeAnswer:
    """The response, made with the key that verified the request. Raises `BadRequest` if it would repeat more than a
    word."""
    reply = handshake.reply
    if reply.text:
        return HandshakeAnswer(reply.status, _read_word(reply.text, request).encode(), "text/plain")
    if not reply.fields:
        return HandshakeAnswer(reply.status)
    told = {
        name: _compute_digest(key, _read_word(part.hmac, request))
        if isinstance(part, Digest)
        else _read_word(part, request)
        for name, part in reply.fields.items()
    }
    return HandshakeAnswer(reply.status, msgspec.json.encode(told), "application/json")


def _compute_digest(key: bytes, word: str) -> str:
    return hmac.digest(key, word.encode(), "sha256").hex()


def _read_word(ref: Ref, request: WebhookRequest) -> str:
    text = request.find_value(ref, ()) or ""
    if not WORD.fullmatch(text):
        raise BadRequest(f"{ref.place}:{ref.name} is not answered: it has to be 1 to 64 letters, digits, - and _")
    return text
