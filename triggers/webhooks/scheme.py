"""Signature schemes as data: where a signature is found, what it covers, and how both are encoded.

A scheme also describes the sender's ids, its handshake and the response that it expects.
A `Signed` scheme covers the request's bytes (HMAC, or Ed25519 with a public key); a `Token` is a secret that is sent
as it is. References name a value in a request: `header:x-id`, `sig:t` (a field of the signature's header),
`query:id`, `body:event.type` and `form:id` (once verified), and whole things: `body`, `url`, `method`, `ts`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple, Self, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from durable.durations import parse_duration
from durable.http_syntax import HEADER_NAME
from durable.language.validation import NestedProblems, find_data_problems
from durable.values import JSON

Encoding: TypeAlias = Literal["hex", "base64"]
Model = TypeVar("Model", bound=BaseModel)

_NAMED = {"header", "sig", "query", "body", "form"}
_WHOLE = {"body", "url", "method", "ts"}


class Ref(NamedTuple):
    """A reference to a value in a request. A whole thing has no name; the name of a `const` is the text itself."""

    place: str
    name: str = ""


def _check_header_name(value: object) -> str:
    if isinstance(value, str) and HEADER_NAME.fullmatch(value.lower()):
        return value.lower()
    raise ValueError("must be the name of a header, such as `x-signature`")


HeaderName = Annotated[str, BeforeValidator(_check_header_name)]
"""The name of a header, in lower case."""


def _parse_ref(value: object) -> Ref:
    match value:
        case Ref():
            return value
        case {"const": str(text), **rest} if not rest:
            return Ref("const", text)
        case str() if value in _WHOLE:
            return Ref(value)
        case str():
            place, colon, name = value.partition(":")
            if colon and name and place in _NAMED:
                return Ref(place, _check_header_name(name) if place == "header" else name)
    raise ValueError(f"{value!r} names no place in a request; write `header:NAME`, `body`, or {{const: TEXT}}")


def _make_ref_parser(allowed: Callable[[Ref], bool], need: str) -> Callable[[object], Ref]:
    def read_model(value: object) -> Ref:
        ref = _parse_ref(value)
        if not allowed(ref):
            raise ValueError(f"{value!r} cannot stand here; {need}")
        return ref

    return read_model


SignedRef = Annotated[
    Ref,
    BeforeValidator(
        _make_ref_parser(
            lambda ref: ref.place != "form" and not (ref.place == "body" and ref.name),
            "the body is not parsed before it is verified, so only `body` as a whole can be signed",
        )
    ),
]
"""What a signature covers."""

ValueRef = Annotated[
    Ref,
    BeforeValidator(
        _make_ref_parser(lambda ref: ref.place in _NAMED and bool(ref.name), "name one value, such as `body:id`")
    ),
]
"""One value of a request, which is read after verification."""


class StrictModel(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """A frozen model that refuses unknown names."""


def _parse_seconds(value: object) -> float:
    return parse_duration(str(value)) / 1000


class KeyForm(StrictModel, title="Key"):
    """How the key is made from the secret: `strip_prefix` is removed if present, and the rest is decoded."""

    encoding: Literal["utf8", "base64", "hex"] = "utf8"
    strip_prefix: str = ""


class Sig(StrictModel):
    """The format of the signature header.

    `items` splits it into items, and `kv` splits an item into name and value; items named `field` are signatures
    (several while a secret is rotated). `prefix` is removed from each, and the rest is decoded with `encoding`.
    """

    header: HeaderName
    items: str = ""
    kv: str = ""
    field: str = ""
    prefix: str = ""
    encoding: Encoding = "hex"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.kv) != bool(self.field):
            raise ValueError("`kv` and `field` need each other: how an item is split, and which name is a signature")
        return self


class Timestamp(StrictModel):
    """Where the timestamp is, in seconds or milliseconds, and how far it may differ from the service's clock.

    `tolerance` is written as a duration, and stored in seconds.
    """

    ref: ValueRef
    unit: Literal["s", "ms"] = "s"
    tolerance: Annotated[float, BeforeValidator(_parse_seconds), Field(gt=0, le=86_400)] = 300


class PresetReply(StrictModel, title="Reply"):
    """A response without a body that replaces Waypost's own."""

    status: int = Field(200, ge=200, le=299)


class Digest(StrictModel):
    """The HMAC-SHA256 of a value of the request, in hex, with the secret that verified it."""

    hmac: ValueRef


class Greeting(PresetReply, title="Greeting"):
    """The response to a handshake: a value of the request as text, or several as JSON."""

    text: ValueRef | None = None
    fields: dict[str, ValueRef | Digest] = {}


class Handshake(StrictModel):
    """A request that carries no event and expects an answer. It starts no run. `when` says how it is recognised.

    It is verified like any other request, unless it has a `token`: then it must carry the `verify_token` there.
    """

    method: Literal["GET", "POST"] = "POST"
    when: dict[ValueRef, str] = Field(min_length=1)
    token: ValueRef | None = None
    reply: Greeting

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        parts = [part.hmac if isinstance(part, Digest) else part for part in self.reply.fields.values()]
        read = [*self.when, self.token, self.reply.text, *parts]
        if self.token and any(ref.place in {"body", "form"} for ref in read if ref):
            raise ValueError("with a `token` the body cannot be read: it is not parsed before it is verified")
        if self.token and any(isinstance(part, Digest) for part in self.reply.fields.values()):
            raise ValueError("with a `token` an `hmac` is impossible: no secret verified the request")
        return self


class Identity(StrictModel):
    """How a verified request is identified, and how its sender is answered.

    `dedupe` is where its id is, and `type` where the kind of event is. `replay` adds a hash as a second key, so that a
    captured request cannot start another run under a different id: `body` hashes the body, for senders that sign
    neither an id nor a time; `message` hashes all that is signed, for senders that sign a time and send no id.
    """

    about: str = ""
    dedupe: ValueRef | None = None
    type: ValueRef | None = None
    replay: Literal["body", "message"] | None = None
    handshake: Handshake | None = None
    reply: PresetReply | None = None


class Signed(Identity):
    """A signature over parts of the request. `alg` is the hash of the HMAC; for `ed25519` the secret is a public
    key."""

    kind: Literal["hmac", "ed25519"] = "hmac"
    alg: Literal["sha1", "sha256", "sha512"] = "sha256"
    key: KeyForm = KeyForm()
    sig: Sig
    ts: Timestamp | None = None
    signed: tuple[SignedRef, ...] = (Ref("body"),)

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if Ref("body") not in self.signed:
            raise ValueError("`signed` must contain `body`: a body that is not signed can be forged")
        if not self.sig.kv and any(ref.place == "sig" for ref in self.signed):
            raise ValueError("`sig:` names an item of the signature header; set `kv`, which says how an item is split")
        if self.ts is None:
            if Ref("ts") in self.signed:
                raise ValueError("`signed` contains `ts`, but the scheme has no `ts`; add it")
        elif self.ts.ref.place in {"body", "form"}:
            if Ref("ts") in self.signed:
                raise ValueError("`ts` is in the body and is signed with it; remove it from `signed`")
        elif not {Ref("ts"), self.ts.ref} & set(self.signed):
            raise ValueError("`ts` must be among `signed`: a time that is not signed can be forged")
        return self


class Token(Identity):
    """A secret in a header: the header's whole value, `Bearer TOKEN`, or `Basic` with `user:password` as the secret."""

    kind: Literal["token"]
    carrier: Literal["header", "bearer", "basic"] = "header"
    header: HeaderName = "authorization"


Scheme: TypeAlias = Signed | Token


def read_scheme(data: JSON, at: str) -> Scheme:
    """Read a scheme from a mapping; raises ValueError naming the key below `at`."""
    is_token = isinstance(data, dict) and data.get("kind") == "token"
    return read_model(Token, data, at) if is_token else read_model(Signed, data, at)


def read_model(model: type[Model], data: JSON, at: str) -> Model:
    """Validate a mapping. The ValueError that it raises names the key, such as `verify.sig.header`, and its place
    inside the value of `verify`."""
    try:
        return model.model_validate(data)
    except ValidationError:
        place = at.split(".")[1:]
        found = [replace(each, pointer=(*place, *each.pointer)) for each in find_data_problems(model, data)]
        said = [f"{'.'.join(map(str, (at, *each.pointer[len(place) :])))}: {each}" for each in found]
        raise NestedProblems(", ".join(said), found) from None
