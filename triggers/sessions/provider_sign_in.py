"""Signing in at an identity provider: to it, and back.

What binds the answer to the browser is a cookie with the state, so that nobody can send a person a link that signs them
in as somebody else. Sign-ins under way are in memory: one that a restart interrupts is begun again.
"""

import hmac
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from durable.durations import parse_duration
from durable.wording import quote
from triggers.audit import AuditLog, Caller, find_address
from triggers.keys import KeyHolder
from triggers.sessions.browser_sessions import BrowserSessions
from triggers.sessions.provider import Challenge, IdentityProvider, SignInRefused, find_name, find_scope
from triggers.sessions.sessions import PROVIDER
from triggers.setting_kinds import AccessRule

BEGIN = "/sign-in/provider"
CALLBACK = "/sign-in/callback"

LIFETIME = parse_duration("10m")
"""How long a sign-in may take, in ms."""

MOST_PENDING = 10_000
"""The sign-ins under way. If there are more, the oldest is forgotten."""

STATE_COOKIE = "waypost_sign_in"

log = logging.getLogger("waypost.sign_in")


class PendingSignIn(NamedTuple):
    """A sign-in under way: the page that follows it, and when it expires (ms)."""

    challenge: Challenge
    to: str
    expires_at: int


class ProviderSignIn:
    """Sends browsers to the provider, and takes them back. `url` is where browsers reach the service: the provider
    knows that address."""

    def __init__(
        self,
        provider: IdentityProvider,
        rules: Sequence[AccessRule],
        browsers: BrowserSessions,
        now: Callable[[], int],
        url: str,
        audit: AuditLog,
    ) -> None:
        self.label = provider.label
        self._provider = provider
        self._rules = rules
        self._browsers = browsers
        self._now = now
        self._url = url
        self._audit = audit
        self._pending: dict[str, PendingSignIn] = {}

    async def begin(self, request: Request, to: str) -> Response:
        """Send the browser to the provider; raises `ProviderUnavailable`."""
        own = urlsplit(self._url)
        if request.headers.get("host") != own.netloc:  # the cookie has to be there when the provider sends it back
            return RedirectResponse(str(request.url.replace(scheme=own.scheme, netloc=own.netloc)), 303)
        challenge = Challenge(*(secrets.token_urlsafe(32) for _ in range(3)))
        location = await self._provider.make_url(challenge, f"{self._url}{CALLBACK}")
        self._pending[challenge.state] = PendingSignIn(challenge, to, self._now() + LIFETIME)
        if len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]
        response = RedirectResponse(location, 303)
        response.set_cookie(
            STATE_COOKIE,
            challenge.state,
            max_age=LIFETIME // 1_000,
            path="/sign-in",
            secure=own.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return response

    async def finish(self, request: Request) -> Response:
        """Take a browser back, once; raises `SignInRefused` and `ProviderUnavailable`."""
        answer = dict(request.query_params)
        state = answer.get("state", "")
        is_same = hmac.compare_digest(state.encode(), request.cookies.get(STATE_COOKIE, "").encode())
        pending = self._pending.pop(state, None) if is_same else None
        if pending is None or pending.expires_at <= self._now():
            raise SignInRefused("this sign-in is unknown, or older than 10 minutes; begin it again")
        claims = await self._provider.read_claims(answer, pending.challenge, f"{self._url}{CALLBACK}")
        name, scope = find_name(claims), find_scope(claims, self._rules)
        if scope is None:
            caller = Caller(None, "dashboard", find_address(request), name)
            await self._audit.add_refusal(caller, "sign_in", "session", None, 403)
            log.warning("%s may not sign in: no rule of oidc_access applies", quote(name))
            raise SignInRefused(f"{name} may not use this service; an administrator can add a rule to oidc_access")
        holder = KeyHolder(name, scope, PROVIDER)
        response = await self._browsers.begin(request, holder, pending.to, str(claims["sub"])[:300])
        response.delete_cookie(STATE_COOKIE, path="/sign-in")
        return response
