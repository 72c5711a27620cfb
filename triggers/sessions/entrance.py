"""The parts of signing in, joined: sessions, their cookie, who sends a request, links that sign in, and the pages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from durable.journal.journal import Journal
from triggers.http.body import BodyLimits
from triggers.http.rate_limit import RateLimiter
from triggers.keys import Keys
from triggers.sessions.cookie import SessionCookie
from triggers.sessions.enter_links import EnterLinks
from triggers.sessions.sessions import Sessions
from triggers.sessions.sign_in import SignIn
from triggers.sessions.visitors import Visitors


@dataclass(frozen=True, slots=True)
class Entrance:
    """What the service needs of this room."""

    sessions: Sessions
    visitors: Visitors
    links: EnterLinks
    sign_in: SignIn

    @classmethod
    async def open(
        cls,
        journal: Journal,
        keys: Keys,
        now: Callable[[], int],
        guesses: RateLimiter,
        bounds: BodyLimits,
        *,
        host: str,
        public_url: str | None,
    ) -> Self:
        """Join the parts, and learn the open sessions. `host` is the one that the service listens on."""
        sessions = Sessions(journal, keys, now)
        await sessions.load()
        cookie = SessionCookie(public_url)
        visitors = Visitors(keys, sessions, cookie, host, public_url)
        links = EnterLinks(keys, now)
        return cls(sessions, visitors, links, SignIn(keys, sessions, cookie, visitors, links, guesses, bounds))
