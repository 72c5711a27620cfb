"""The port of identity providers: who a person is there, and what they may do here.

SignInRefused         a person may not sign in; the message says why
ProviderUnavailable   the provider cannot be reached, or gives answers that cannot be used
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from durable.lazy import ExtraMissing, load_module
from durable.secrets import Secrets
from triggers.documents.fields import Scope
from triggers.keys import SCOPES
from triggers.setting_kinds import AccessRule
from triggers.settings import Settings, SettingsError

CLIENT_SECRET = "OIDC_CLIENT_SECRET"
"""The secret with the client secret of this service at the provider."""

EXTRA = "oidc"

ANY = "*"
"""The value of a rule that applies whatever a claim says."""

Claims = Mapping[str, Any]
"""What a provider says of a person."""


class SignInRefused(Exception):
    """A person may not sign in; the message says why."""


class ProviderUnavailable(Exception):
    """The provider cannot be reached, or gives answers that cannot be used."""


class Challenge(NamedTuple):
    """What binds the answer of a provider to the sign-in that asked for it. `verifier` is that of PKCE."""

    state: str
    nonce: str
    verifier: str


class IdentityProvider(Protocol):
    """Where people sign in. `label` names it to them."""

    @property
    def label(self) -> str: ...

    async def make_url(self, challenge: Challenge, redirect_url: str) -> str:
        """The address to which the browser is sent."""
        ...

    async def read_claims(self, answer: Mapping[str, str], challenge: Challenge, redirect_url: str) -> Claims:
        """What the provider says of the person that it has sent back."""
        ...


def open_provider(settings: Settings, secrets: Secrets) -> IdentityProvider | None:
    """The provider that the settings name, None if they name none; raises `SettingsError`."""
    if settings.oidc_issuer is None:
        return None
    if settings.oidc_client_id is None or not settings.oidc_access:
        missing = "oidc_client_id" if settings.oidc_client_id is None else "oidc_access"
        raise SettingsError(f"oidc_issuer is set, but {missing} is not: set it as well, or remove oidc_issuer")
    try:
        module = load_module("triggers.sessions.openid", extra=EXTRA)
    except ExtraMissing as missing_extra:
        raise SettingsError(f"oidc_issuer: {missing_extra}") from None
    secret = secrets.get(CLIENT_SECRET) if secrets.has(CLIENT_SECRET) else None
    claims = {rule.claim for rule in settings.oidc_access}
    return cast(IdentityProvider, module.OpenIdProvider(settings.oidc_issuer, settings.oidc_client_id, secret, claims))


def hash_settings(settings: Settings) -> str:
    """What changes with the provider and its rules, so that sessions which others have permitted end."""
    text = repr((settings.oidc_issuer, settings.oidc_client_id, settings.oidc_access))
    return f"oidc:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def find_scope(claims: Claims, rules: Sequence[AccessRule]) -> Scope | None:
    """The highest scope that a rule gives a person; None if no rule applies."""
    given = [rule.scope for rule in rules if rule.value in _list_values(claims, rule.claim) or _has_any(claims, rule)]
    return max(given, key=SCOPES.index) if given else None


def _has_any(claims: Claims, rule: AccessRule) -> bool:
    return rule.value == ANY and bool(_list_values(claims, rule.claim))


def _list_values(claims: Claims, name: str) -> list[str]:
    """The values of a claim as texts. An address that the provider has not verified is none: anybody may claim it."""
    if name == "email" and claims.get("email_verified") not in (True, "true"):
        return []
    found = claims.get(name)
    values = found if isinstance(found, list) else [found]
    return [
        str(value).lower() if isinstance(value, bool) else str(value) for value in values if value not in (None, "")
    ]


def find_name(claims: Claims) -> str:
    """How a person is called."""
    named = (claims.get(claim) for claim in ("preferred_username", "email", "name", "sub"))
    return next((value for value in named if isinstance(value, str) and value), "")[:100]
