"""The interface of schemes whose credentials a service grants: the grant, and how to get, renew and use it.

GrantRefused        an `ActionError`: the service does not renew this grant any more
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from durable.action import ActionError, Context


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a service has granted to a connection.

    `issued_at`, `expires_at`: of the access token, in ms; it is valid until it is refused if `expires_at` is None.
    `refresh_token`: renews the grant; None if the service issued none.
    """

    access_token: str
    issued_at: int
    expires_at: int | None = None
    refresh_token: str | None = None


class Authorization(msgspec.Struct, frozen=True):
    """The request for a person's permission for what a connection needs.

    `url`: where the service asks it.
    `redirect_url`: where the service sends the browser with the answer.
    `verifier`: a secret that only the sender of the request knows; empty if the service does not support that.
    """

    url: str
    redirect_url: str
    verifier: str = ""


class GrantRefused(ActionError):
    """The service does not renew this grant any more, for the reason in the message."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message, error_class="auth", code=code, ending="answered")


class GrantFlow(Protocol):
    """How a scheme gets grants from a service. `settings` are an instance of the scheme's model; every method that
    calls the service raises `ActionError`, whose message contains no secret."""

    def needs_login(self, settings: Any) -> bool:
        """Whether a person has to permit the use of an account."""
        ...

    def identify(self, settings: Any) -> str:
        """Return what a grant is issued for: a grant of another identity is of no use, and must not be sent."""
        ...

    async def begin(self, context: Context, settings: Any, redirect_url: str, state: str) -> Authorization:
        """Return the question to ask. `state` comes back with the answer."""
        ...

    async def finish(
        self, context: Context, settings: Any, authorization: Authorization, answer: Mapping[str, str], at: int
    ) -> Grant:
        """Exchange the answer, the query with which the browser came back, for a grant. `at`: the time, in ms."""
        ...

    async def refresh(self, context: Context, settings: Any, grant: Grant | None, at: int) -> Grant:
        """Return a new grant, for the previous one if a login was needed. `at`: the time, in ms. Raises
        `GrantRefused`."""
        ...

    async def revoke(self, context: Context, settings: Any, grant: Grant) -> bool:
        """Tell the service that the grant is no longer used; False if the service offers no way to."""
        ...


class AccessTokens(ABC):
    """The resource from which schemes take the access tokens of connections. `durable.grants` implements it."""

    @abstractmethod
    async def get_token(self, context: Context, flow: GrantFlow, settings: Any) -> str:
        """Return a valid access token of the attempt's connection. Raises `ActionError`."""

    @abstractmethod
    async def replace_refused(
        self, context: Context, flow: GrantFlow, settings: Any, headers: Mapping[str, str]
    ) -> bool:
        """Record that the service has refused a request with these headers (401). Returns whether there is another
        access token to try. Raises `ActionError`."""


def take_access_tokens(context: Context) -> AccessTokens:
    """Return the resource of an attempt; raises `LookupError` if it has none."""
    return context.resource(AccessTokens)  # type: ignore[type-abstract]  # the instances are of a subclass
