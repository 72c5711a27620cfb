"""The named schemes: `presets.yaml` for known senders, and `hmac` and `token`, whose options an operator sets."""

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

from durable.values import JSON
from durable.wording import find_nearest
from triggers.webhooks.scheme import (
    Encoding,
    HeaderName,
    Scheme,
    Sig,
    Signed,
    StrictModel,
    Token,
    read_model,
    read_scheme,
)


class GenericHmac(StrictModel):
    """`preset: hmac`: a signature over the body alone, as most senders write it; `items` is what parts several."""

    header: HeaderName
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    items: str = ""

    def scheme(self) -> Signed:
        sig = Sig(header=self.header, items=self.items, prefix=self.prefix, encoding=self.encoding)
        return Signed(alg=self.algorithm, sig=sig)


class GenericToken(StrictModel):
    """`preset: token`: a secret as the whole value of a header."""

    header: HeaderName

    def scheme(self) -> Token:
        return Token(kind="token", header=self.header)


GENERIC: dict[str, type[GenericHmac | GenericToken]] = {"hmac": GenericHmac, "token": GenericToken}


@cache
def load_presets() -> dict[str, Scheme]:
    """Load the schemes of known senders, by name."""
    text = files("triggers.webhooks").joinpath("presets.yaml").read_text(encoding="utf-8")
    return {name: read_scheme(data, f"presets.yaml: {name}") for name, data in yaml.safe_load(text).items()}


def find_scheme(name: JSON, options: dict[str, JSON], at: str) -> Scheme:
    """The scheme of `preset: NAME` with the options beside it; raises ValueError naming the key."""
    if not isinstance(name, str):
        raise ValueError(f"{at}.preset: must be a name, such as `github`")
    if name in GENERIC:
        return read_model(GENERIC[name], options, at).scheme()
    if name not in load_presets():
        raise ValueError(f"{at}.preset: {_explain_unknown(name)}")
    if options:
        raise ValueError(f"{at}.{next(iter(options))}: the preset `{name}` has no such option")
    return load_presets()[name]


def name_scheme(scheme: Scheme) -> str:
    """The name of the preset with this scheme, or else the kind of the scheme."""
    return next((name for name, known in load_presets().items() if known == scheme), scheme.kind)


def _explain_unknown(name: str) -> str:
    known = sorted([*load_presets(), *GENERIC])
    near = find_nearest(name, known)
    hint = f"did you mean '{near}'" if near else f"known: {', '.join(known)}; or write a `scheme`"
    return f"`{name}` is not a preset; {hint}"
