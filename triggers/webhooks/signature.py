"""Checking signatures and tokens against the raw bytes of a request, and making them as a sender does.

Nothing is parsed before its bytes are verified, and no input raises anything but `Rejected`.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from contextlib import suppress

from durable.lazy import load_module
from triggers.webhooks.request import Pairs, Rejected, WebhookRequest
from triggers.webhooks.scheme import Encoding, Ref, Scheme, Sig, Signed, Timestamp, Token

SIGNATURE_LIMIT = 8_192
"""The characters of a signature's header."""

ITEM_LIMIT = 32
"""The items of a signature's header: senders write one for each secret of a rotation, and a time."""

ED25519 = "triggers.webhooks.ed25519"
ED25519_KEY_BYTES = 32

BODY = Ref("body")

_CREDENTIALS = re.compile(r"([^ \t]*)[ \t]*(.*)", re.DOTALL)
"""A word, white space, and the rest."""


# -- tokens ----------------------------------------------------------------------------------------------------------


def check_token(scheme: Token, request: WebhookRequest, secrets: Sequence[str]) -> bytes:
    """The token that was sent, if it equals one of the secrets; raises `Rejected`."""
    known = [secret for secret in map(encode_secret, secrets) if secret]
    if not known:
        raise Rejected("missing_secret", "the secret of this webhook is not set")
    sent = read_token(scheme, request.find_header(scheme.header))
    if not sum([hmac.compare_digest(sent, secret) for secret in known]):  # all of them: the time does not tell which
        raise Rejected("bad_signature", f"the token in {scheme.header} is not this webhook's")
    return sent


def encode_secret(secret: str) -> bytes:
    """A secret as a header shows it: no header can show the white space around one."""
    return secret.strip(" \t").encode("utf-8", "surrogateescape")


def read_token(scheme: Token, value: str | None) -> bytes:
    """The token that a header's value holds; raises `Rejected`."""
    if not value:
        raise Rejected("missing_signature", f"the header {scheme.header} is missing")
    word, rest = _CREDENTIALS.fullmatch(value).groups("")  # type: ignore[union-attr]  # it matches any text
    with suppress(ValueError):  # neither header text nor base64
        if scheme.carrier == "header":
            return value.encode("latin-1")
        if word.lower() == scheme.carrier:
            return rest.encode("latin-1") if scheme.carrier == "bearer" else base64.b64decode(rest, validate=True)
    raise Rejected("malformed_signature", f"the header {scheme.header} does not hold a token as it should")


# -- signatures ------------------------------------------------------------------------------------------------------


def check_signature(
    scheme: Signed, request: WebhookRequest, secrets: Sequence[str], public_url: str
) -> tuple[bytes, Pairs, bytes]:
    """The key that matches one of the signatures, the fields of the signature's header, and the signed bytes.

    Raises `Rejected`.
    """
    keys = _decode_keys(scheme, secrets)
    header = request.find_header(scheme.sig.header)
    if not header:
        raise Rejected("missing_signature", f"the header {scheme.sig.header} is missing")
    fields = _split_fields(scheme.sig, header)
    candidates = _find_signatures(scheme.sig, fields)
    message = _build_message(scheme, request, fields, public_url)
    agreeing = [key for key in keys if _is_signed(scheme, key, message, candidates)]  # all keys, as above
    if not agreeing:
        raise Rejected("bad_signature", f"no signature in {scheme.sig.header} agrees with the request and the secret")
    return agreeing[0], fields, message


def read_unverified(scheme: Signed, request: WebhookRequest, public_url: str) -> tuple[Pairs, bytes | None]:
    """The fields of the signature's header and the bytes that it should cover, without checking it; None if a part of
    them is missing. Raises `Rejected` if the header cannot be read."""
    fields = _split_fields(scheme.sig, request.find_header(scheme.sig.header) or "")
    with suppress(Rejected):
        return fields, _build_message(scheme, request, fields, public_url)
    return fields, None


def _decode_keys(scheme: Signed, secrets: Sequence[str]) -> list[bytes]:
    keys = []
    problem = "is not set"
    for secret in filter(None, secrets):
        try:
            key = _decode_key(scheme, secret)
        except ValueError:
            problem = f"is not {scheme.key.encoding}"
            continue
        if not key or (scheme.kind == "ed25519" and len(key) != ED25519_KEY_BYTES):
            problem = "has the wrong length"
            continue
        keys.append(key)
    if not keys:
        raise Rejected("missing_secret", f"the secret of this webhook {problem}")
    return keys


def _decode_key(scheme: Signed, secret: str) -> bytes:
    """The key that a secret's text encodes; raises ValueError."""
    text = secret.removeprefix(scheme.key.strip_prefix)
    match scheme.key.encoding:
        case "utf8":
            return text.encode("utf-8", "surrogateescape")
        case "hex":
            return binascii.unhexlify(text)
        case "base64":
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _split_fields(sig: Sig, header: str) -> Pairs:
    if len(header) > SIGNATURE_LIMIT:
        raise Rejected("malformed_signature", f"the header {sig.header} is longer than {SIGNATURE_LIMIT} characters")
    items = [item.strip() for item in header.split(sig.items)] if sig.items else [header]
    if len(items) > ITEM_LIMIT:
        raise Rejected("malformed_signature", f"the header {sig.header} has more than {ITEM_LIMIT} items")
    fields = []
    for item in items:
        name, _, value = item.partition(sig.kv) if sig.kv else ("", "", item)
        fields.append((name, value))
    return tuple(fields)


def _find_signatures(sig: Sig, fields: Pairs) -> list[bytes]:
    """The signatures of the header. Those that cannot be decoded are left out, since another secret's may be there
    too."""
    candidates = []
    for name, text in fields:
        if name == sig.field and text.startswith(sig.prefix):
            with suppress(ValueError):
                candidates.append(_decode_signature(text.removeprefix(sig.prefix), sig.encoding))
    if not candidates:
        form = f"{sig.field}{sig.kv}{sig.prefix}<{sig.encoding}>"
        raise Rejected("malformed_signature", f"the header {sig.header} has no signature of the form {form}")
    return candidates


def _decode_signature(text: str, encoding: Encoding) -> bytes:
    return binascii.unhexlify(text) if encoding == "hex" else base64.b64decode(text, validate=True)


def _build_message(scheme: Signed, request: WebhookRequest, fields: Pairs, public_url: str) -> bytes:
    """The signed bytes; raises `Rejected` if the request lacks a part of them."""
    if scheme.signed == (BODY,):
        return request.body
    return b"".join([_read_signed_part(ref, scheme, request, fields, public_url) for ref in scheme.signed])


def _read_signed_part(ref: Ref, scheme: Signed, request: WebhookRequest, fields: Pairs, public_url: str) -> bytes:
    match ref.place:
        case "body":
            return request.body
        case "const":
            return ref.name.encode()
        case "query" if values := request.find_in_query(ref.name):
            if len(values) > 1:
                raise Rejected("malformed_signature", f"query:{ref.name} came {len(values)} times")
            return values[0]
        case "method":
            text: str | None = request.method
        case "url":
            text = public_url + request.path + ("?" + request.query_string if request.query_string else "")
        case "ts" if scheme.ts:
            return _read_signed_part(scheme.ts.ref, scheme, request, fields, public_url)
        case _:
            text = request.find_value(ref, fields)
    if not text:
        raise Rejected("malformed_signature", f"{ref.place}:{ref.name} belongs to what is signed, and is missing")
    try:
        return text.encode("latin-1")  # as it came in: see `WebhookRequest.from_scope`
    except UnicodeEncodeError:
        raise Rejected("malformed_signature", f"{ref.place}:{ref.name} is no header text") from None


def _is_signed(scheme: Signed, key: bytes, message: bytes, candidates: list[bytes]) -> bool:
    agreeing = 0
    if scheme.kind == "ed25519":
        is_signed_by = load_module(ED25519).is_signed_by
        for candidate in candidates:
            agreeing += is_signed_by(key, message, candidate)
        return agreeing > 0
    expected = hmac.digest(key, message, scheme.alg)
    for candidate in candidates:
        agreeing += hmac.compare_digest(expected, candidate)
    return agreeing > 0


def check_time(ts: Timestamp, text: str | None, now: float) -> None:
    """Raise `Rejected` unless the time that was sent is within the tolerance of `now`, in seconds since 1970."""
    if not text or not (text.isascii() and text.isdigit()) or len(text) > 16:
        raise Rejected("malformed_signature", f"{ts.ref.place}:{ts.ref.name} is not a time in {ts.unit}")
    age = now - int(text) / (1000 if ts.unit == "ms" else 1)
    if age > ts.tolerance:
        raise Rejected("stale_timestamp", f"the request was signed {age:.0f} s ago; {ts.tolerance:g} s are accepted")
    if -age > ts.tolerance:
        raise Rejected("future_timestamp", f"the request was signed {-age:.0f} s in the future: compare the clocks")


# -- the sender's side -----------------------------------------------------------------------------------------------


def sign_request(
    scheme: Scheme,
    secret: str,
    body: bytes,
    now: float,
    *,
    id: str,
    type: str = "",
    method: str = "POST",
    path: str = "/",
    query_string: str = "",
    public_url: str = "",
) -> dict[str, str]:
    """The headers that a sender signs a request with.

    `id` and `type` are written where the scheme has a header for them. For `ed25519` the secret is the private key.
    """
    if isinstance(scheme, Token):
        return {scheme.header: _write_token(scheme, secret)}
    time = str(int(now * (1000 if scheme.ts and scheme.ts.unit == "ms" else 1)))
    known = [(scheme.dedupe, id), (scheme.type, type), (scheme.ts and scheme.ts.ref, time)]
    headers = {ref.name: text for ref, text in known if ref and ref.place == "header" and text}
    fields = tuple((ref.name, text) for ref, text in known if ref and ref.place == "sig")
    request = WebhookRequest(method, path, query_string, tuple(headers.items()), body)
    signature = _make_signature(
        scheme, _decode_key(scheme, secret), _build_message(scheme, request, fields, public_url.rstrip("/"))
    )
    written = (*fields, (scheme.sig.field, scheme.sig.prefix + signature))
    return headers | {scheme.sig.header: scheme.sig.items.join(name + scheme.sig.kv + text for name, text in written)}


def _write_token(scheme: Token, secret: str) -> str:
    match scheme.carrier:
        case "header":
            return secret
        case "bearer":
            return f"Bearer {secret}"
        case "basic":
            return f"Basic {base64.b64encode(secret.encode()).decode()}"


def _make_signature(scheme: Signed, key: bytes, message: bytes) -> str:
    if scheme.kind == "ed25519":
        raw = load_module(ED25519).sign_message(key[:ED25519_KEY_BYTES], message)
    else:
        raw = hmac.digest(key, message, scheme.alg)
    return raw.hex() if scheme.sig.encoding == "hex" else base64.b64encode(raw).decode()
