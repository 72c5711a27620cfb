"""Models of `verify` for editors: what people write, in each of its forms. `Verifier.of` reads the same.

In these models a reference is the text that a scheme parses.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Field, WithJsonSchema, create_model

from durable.action import Inputs, Secret
from durable.durations import Duration
from triggers.webhooks.presets import GENERIC, load_presets
from triggers.webhooks.scheme import Digest, Greeting, Handshake, Scheme, Signed, Timestamp, Token

# -- a scheme of one's own --------------------------------------------------------------------------------------


class Text(Inputs):
    """A text that is the same in every request."""

    const: str = Field(description="The text")


_PLACE = Annotated[str, Field(pattern="^(header|sig|query|body|form):.", examples=["header:x-id", "body:event.id"])]
_COVERED = Annotated[str, Field(pattern="^((body|url|method|ts)$|(header|sig|query):.)")]
_DIGEST = create_model("Digest", __base__=Digest, hmac=_PLACE)
_GREETING = create_model(
    "Greeting", __base__=Greeting, text=(_PLACE | None, None), fields=(dict[str, _PLACE | _DIGEST], {})
)
_HANDSHAKE = create_model(
    "Handshake", __base__=Handshake, when=dict[_PLACE, str], token=(_PLACE | None, None), reply=_GREETING
)
_IDENTITY: dict[str, Any] = {
    "dedupe": (_PLACE | None, Field(None, description="Where the id of the delivery is")),
    "type": (_PLACE | None, Field(None, description="Where the kind of event is")),
    "handshake": (_HANDSHAKE | None, None),
}
_TIMESTAMP = create_model("Timestamp", __base__=Timestamp, ref=_PLACE, tolerance=(Duration, "5m"))
_SIGNED = create_model(
    "Signed",
    __base__=Signed,
    ts=(_TIMESTAMP | None, None),
    signed=(tuple[_COVERED | Text, ...], Field(("body",), description="What the signature covers, in this order")),
    **_IDENTITY,
)
_TOKEN = create_model("Token", __base__=Token, **_IDENTITY)
_OWN = Annotated[_SIGNED | _TOKEN, Field(description="Where the signature is, what it covers, and how it is encoded")]

# -- presets, and all of it together ----------------------------------------------------------------------------

_SECRETS = Annotated[
    Secret | list[Secret],
    Field(description='The sender\'s secret, as "{{ secrets.NAME }}"; a list of secrets while one is rotated'),
]
_VERIFY_TOKEN = Annotated[Secret, Field(description="The token that the sender presents before it sends events")]


def build_verify_type() -> Any:
    """The type of `verify`: a union of its forms."""
    schemes = dict(sorted(load_presets().items()))
    shown = {name: scheme for name, scheme in schemes.items() if scheme.handshake and scheme.handshake.token}
    silent = {name: scheme for name, scheme in schemes.items() if name not in shown}
    found = [
        _make_form(
            "Known", Inputs, preset=_make_choice({name: _describe_scheme(scheme) for name, scheme in silent.items()})
        )
    ]
    if shown:
        names = _make_choice({name: _describe_scheme(scheme) for name, scheme in shown.items()})
        found.append(_make_form("Shown", Inputs, preset=names, verify_token=_VERIFY_TOKEN))
    for name, model in GENERIC.items():
        meaning = (model.__doc__ or "").partition("`: ")[2].capitalize()
        found.append(_make_form(model.__name__, model, preset=_make_choice({name: meaning})))
    found.append(_make_form("Own", Inputs, scheme=_OWN, verify_token=(_VERIFY_TOKEN | None, None)))
    return Union[(Literal["none"], *found)]


def _make_form(name: str, base: type[BaseModel], **fields: Any) -> type[BaseModel]:
    """One form: the fields of `base`, these fields and the secret."""
    return create_model(name, __base__=base, **fields, secret=_SECRETS)


def _make_choice(names: Mapping[str, str]) -> Any:
    """The name of a preset, each with a description."""
    offered = [{"const": name, "description": meaning} for name, meaning in names.items()]
    return Annotated[str, WithJsonSchema({"type": "string", "anyOf": offered}), Field(description="The preset")]


def _describe_scheme(scheme: Scheme) -> str:
    if scheme.about:
        return scheme.about
    match scheme:
        case Token(carrier="header"):
            return f"A secret in the header {scheme.header}"
        case Token():
            return f"A secret in the header {scheme.header}, as {scheme.carrier.capitalize()}"
        case Signed():
            how = "Ed25519" if scheme.kind == "ed25519" else f"HMAC-{scheme.alg.upper()}"
            return f"A signature ({how}) in the header {scheme.sig.header}"
