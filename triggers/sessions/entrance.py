"""The parts of signing in, joined: sessions, their cookie, who sends a request, links that sign in, and the pages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from durable.journal.journal import Journal
from durable.secrets import Secrets
from triggers.audit import AuditLog
from triggers.http.body import BodyLimits
from triggers.http.rate_limit import RateLimiter
from triggers.keys import WRONG_KEYS, Keys
from triggers.sessions.browser_sessions import BrowserSessions
from triggers.sessions.cookie import SessionCookie
from triggers.sessions.enter_links import EnterLinks
from triggers.sessions.provider import hash_settings, open_provider
from triggers.sessions.provider_sign_in import ProviderSignIn
from triggers.sessions.sessions import Sessions
from triggers.sessions.sign_in import FORM_BYTES, SignIn
from triggers.sessions.visitors import Visitors
from triggers.settings import Settings


@dataclass(frozen=True, slots=True)
class Entrance:
    """What the service needs of this room."""

    sessions: Sessions
    visitors: Visitors
    links: EnterLinks
    guesses: RateLimiter
    """Limits wrong keys, here and at the API."""

    sign_in: SignIn

    @classmethod
    async def open(
        cls,
        settings: Settings,
        journal: Journal,
        keys: Keys,
        secrets: Secrets,
        now: Callable[[], int],
        url: str,
        audit: AuditLog,
    ) -> Self:
        """Join the parts, and learn the open sessions. `url` is where this machine reaches the service. Raises
        `SettingsError`."""
        provider = open_provider(settings, secrets)
        sessions = Sessions(journal, keys, now, audit, hash_settings(settings) if provider else None)
        await sessions.load()
        guesses = RateLimiter(WRONG_KEYS, time.monotonic_ns)
        cookie = SessionCookie(settings.public_url)
        visitors = Visitors(keys, sessions, cookie, guesses, settings.host, settings.public_url)
        links = EnterLinks(keys, now, url)
        browsers = BrowserSessions(sessions, cookie)
        outside = None
        if provider:
            rules, public = settings.oidc_access, settings.public_url or url
            outside = ProviderSignIn(provider, rules, browsers, now, public, audit)
        bounds = BodyLimits(FORM_BYTES, settings.body_timeout / 1000)
        sign_in = SignIn(keys, browsers, visitors, links, outside, guesses, bounds, audit)
        return cls(sessions, visitors, links, guesses, sign_in)
