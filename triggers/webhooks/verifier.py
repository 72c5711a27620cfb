"""Verification: a webhook's `verify`, read from its file, and requests checked against it.

Nothing of a request is parsed before it is verified.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template
from durable.language.headers import CREDENTIALS
from durable.values import JSON
from triggers.webhooks import handshake
from triggers.webhooks.handshake import HandshakeAnswer
from triggers.webhooks.presets import find_scheme
from triggers.webhooks.request import Pairs, Rejected, WebhookRequest
from triggers.webhooks.scheme import Ref, Scheme, Signed, Token, read_scheme
from triggers.webhooks.signature import check_signature, check_time, check_token, read_unverified

IDENTITY_LIMIT = 200
"""The characters of an id or type; a longer one is replaced by its hash."""

_EXAMPLE = "write for example 'verify: {preset: github, secret: \"{{ secrets.NAME }}\"}'"
VERIFY_KEYS = frozenset({"preset", "scheme", "secret", "verify_token"})
"""The keys of every `verify`; others are options of a generic preset."""


class Verified(msgspec.Struct, frozen=True):
    """The result of verification: the id and type of the delivery, and a second key if its id may be forged.

    With an `answer` it is a handshake and brings no event.
    """

    key: str | None = None
    type: str | None = None
    replay_key: str | None = None
    answer: HandshakeAnswer | None = None


@dataclass(frozen=True, slots=True)
class Verifier:
    """A webhook's `verify`. Secrets are kept as references, not values."""

    scheme: Scheme | None
    secrets: tuple[str, ...] = ()
    public_url: str = ""
    verify_token: str | None = None

    @classmethod
    def of(cls, verify: JSON, *, public_url: str = "") -> Self:
        """Read `verify: none`, `{preset, secret, …}` or `{scheme, secret}`; raises ValueError naming the key.

        `public_url` is the address at which senders reach the service, for schemes that sign it.
        """
        if verify == "none":
            return cls(None)
        if not isinstance(verify, dict):
            raise ValueError(
                "verify: say how senders sign, such as {preset: github, secret: …}, or `none` to accept every request"
            )
        scheme = _read_scheme(verify)
        if isinstance(scheme, Signed) and Ref("url") in scheme.signed and not public_url:
            raise ValueError(
                "verify: this sender signs the public URL of the service; set `public_url` in settings.toml"
                " or WAYPOST_PUBLIC_URL to where the sender reaches it"
            )
        token = _read_verify_token(scheme, verify)
        return cls(scheme, _read_secrets(verify.get("secret")), public_url.rstrip("/"), token)

    def check(self, request: WebhookRequest, secrets: Sequence[str], now: float, verify_token: str = "") -> Verified:
        """Verify a request with any of the secrets. Raises `Rejected`, and `BadRequest` for a handshake that asks for
        more than a word to be repeated.

        `now` is when the request was received, in seconds since 1970.
        """
        asked = self.scheme.handshake if self.scheme else None
        if asked and asked.token and handshake.is_met(asked, request):
            handshake.check_verify_token(asked.token, request, verify_token)
            return Verified(answer=handshake.answer_handshake(asked, request, b""))
        match self.scheme:
            case None:
                return Verified()
            case Token() as scheme:
                key = check_token(scheme, request, secrets)
                verified = _read_identity(scheme, request, (), request.body)
            case Signed() as scheme:
                key, fields, message = check_signature(scheme, request, secrets, self.public_url)
                if scheme.ts:
                    check_time(scheme.ts, request.find_value(scheme.ts.ref, fields), now)
                verified = _read_identity(scheme, request, fields, message)
        if asked and not asked.token and handshake.is_met(asked, request):
            return Verified(answer=handshake.answer_handshake(asked, request, key))
        return verified

    def read_identity(self, request: WebhookRequest) -> Verified:
        """What an unverified request says of its id and type; nothing if it cannot be read."""
        if self.scheme is None:
            return Verified()
        fields: Pairs = ()
        message: bytes | None = request.body
        try:
            if isinstance(self.scheme, Signed):
                fields, message = read_unverified(self.scheme, request, self.public_url)
            return _read_identity(self.scheme, request, fields, message)
        except Rejected:
            return Verified()

    def is_handshake(self, request: WebhookRequest) -> bool:
        """Whether a request asks for the answer to a handshake, and so brings no event."""
        asked = self.scheme.handshake if self.scheme else None
        return asked is not None and handshake.is_met(asked, request)


def _read_scheme(verify: dict[str, JSON]) -> Scheme:
    options = {name: value for name, value in verify.items() if name not in VERIFY_KEYS}
    if ("preset" in verify) == ("scheme" in verify):
        raise ValueError(f"verify: name either a `preset` or a `scheme`; {_EXAMPLE}")
    if "preset" in verify:
        return find_scheme(verify["preset"], options, "verify")
    if options:
        raise ValueError(f"verify.{next(iter(options))}: this option is not allowed with `scheme`")
    return read_scheme(verify["scheme"], "verify.scheme")


def _read_secrets(secret: JSON) -> tuple[str, ...]:
    secrets = secret if isinstance(secret, list) else [secret]
    texts = tuple(text for text in secrets if isinstance(text, str) and _is_reference(text))
    if not texts or len(texts) < len(secrets):
        raise ValueError('verify.secret: write "{{ secrets.NAME }}", or a list of secrets while one is rotated')
    return texts


def _read_verify_token(scheme: Scheme, verify: dict[str, JSON]) -> str | None:
    token = verify.get("verify_token")
    if scheme.handshake is None or scheme.handshake.token is None:
        if "verify_token" in verify:
            raise ValueError("verify.verify_token: this sender sends none; remove it")
        return None
    if isinstance(token, str) and _is_reference(token):
        return token
    raise ValueError('verify.verify_token: write "{{ secrets.NAME }}"; this sender sends it when it subscribes')


def _is_reference(text: str) -> bool:
    """Whether a text consists of secrets only. A value from a file or a request is not secret."""
    try:
        template = Template.parse(text)
    except ExpressionError:
        return False
    return bool(template.secrets) and not template.expressions


def _read_identity(scheme: Scheme, request: WebhookRequest, fields: Pairs, message: bytes | None) -> Verified:
    key = request.find_value(scheme.dedupe, fields) if scheme.dedupe else None
    kind = request.find_value(scheme.type, fields) if scheme.type else None
    replayed = None if scheme.replay is None else request.body if scheme.replay == "body" else message
    return Verified(
        key=shorten_identity(key) if key else None,
        type=shorten_identity(kind) if kind else None,
        replay_key=None if replayed is None else f"{scheme.replay}-sha256:{hashlib.sha256(replayed).hexdigest()}",
    )


def shorten_identity(text: str) -> str:
    """The id or type, or its hash if it is long."""
    if len(text) <= IDENTITY_LIMIT:
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def find_bearing_headers(scheme: Scheme | None) -> frozenset[str]:
    """The headers whose values are credentials in themselves, and so are never stored. A signature is stored with its
    delivery: it proves only that request."""
    match scheme:
        case Signed():
            return CREDENTIALS - {scheme.sig.header}
        case _:
            return find_credential_headers(scheme)


def find_credential_headers(scheme: Scheme | None) -> frozenset[str]:
    """The headers that hold credentials. They are taken out before an event is made of the request."""
    match scheme:
        case Signed():
            return CREDENTIALS | {scheme.sig.header}
        case Token():
            return CREDENTIALS | {scheme.header}
        case None:
            return CREDENTIALS
