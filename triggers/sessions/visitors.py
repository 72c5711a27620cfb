"""Who sends a request for a page, and whether a page of another site has made their browser send it.

Browsers send cookies to all ports of a host, whatever `SameSite` says, so a cookie alone proves nothing. A form of
another port is recognized by `Sec-Fetch-Site`, as in Go's CrossOriginProtection (https://go.dev/issue/73626); where a
browser does not send that, by `Origin`. A host name that is not ours may be one that somebody else has pointed at us
(DNS rebinding).
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import Scope

from durable.wording import quote
from triggers.http.rate_limit import RateLimiter
from triggers.keys import KeyHolder, Keys, parse_bearer
from triggers.refusals import CrossSiteRequest, RateExceeded, WrongHost
from triggers.sessions.cookie import SessionCookie
from triggers.sessions.sessions import Sessions

SAFE_METHODS = frozenset({"GET", "HEAD"})


class Visitors:
    """Finds out who sends a request: the holder of its key, or the person of its cookie."""

    def __init__(
        self,
        keys: Keys,
        sessions: Sessions,
        cookie: SessionCookie,
        guesses: RateLimiter,
        host: str,
        public_url: str | None,
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._cookie = cookie
        self._guesses = guesses
        self._public = urlsplit(public_url or "")
        self._names = {host.lower(), *filter(None, [self._public.hostname])}

    def find(self, connection: HTTPConnection) -> KeyHolder | None:
        """The sender of a request for a page; None if it has neither a valid key nor an open session. Raises
        `WrongHost`, `CrossSiteRequest`, and `RateExceeded` after too many wrong keys."""
        key = parse_bearer(connection.headers.get("authorization"))
        if key is not None:  # a browser never adds a key by itself
            holder = self._keys.find_holder(key)
            if holder is None and (seconds := self._guesses.take_for(connection.scope)):
                raise RateExceeded("too many wrong keys came from this address", seconds, closes=False)
            return holder
        self.check_host(connection)
        holder = self._find_by_cookie(connection)
        if holder is not None:
            self.check_site(connection)
        return holder

    def is_known(self, scope: Scope) -> bool:
        """Whether a request has a valid key or an open session, whatever it asks for."""
        connection = HTTPConnection(scope)
        key = parse_bearer(connection.headers.get("authorization"))
        if key is not None:
            return self._keys.find_holder(key) is not None
        return "cookie" in connection.headers and self._find_by_cookie(connection) is not None

    def check_host(self, connection: HTTPConnection) -> None:
        """Raise `WrongHost` unless a request names this service: by an address, a name of this machine, the host that
        it listens on, or that of `public_url`."""
        given = connection.headers.get("host", "")
        try:
            name = urlsplit(f"//{given}").hostname or ""
        except ValueError:
            name = ""
        if name not in self._names and not _is_own_name(name):
            raise WrongHost(
                f"the dashboard is not served under the name {quote(given)}; use the address that `waypost serve` "
                "prints, or set public_url to the address that people use"
            )

    def check_site(self, connection: HTTPConnection) -> None:
        """Raise `CrossSiteRequest` if a page of another site, or of another port, has sent a request that may change
        something, or that reads something behind its person's back."""
        headers = connection.headers
        site = headers.get("sec-fetch-site")
        if connection.scope["type"] == "http" and connection.scope["method"] in SAFE_METHODS:
            is_foreign = site in {"cross-site", "same-site"} and headers.get("sec-fetch-mode") != "navigate"
        elif site:
            is_foreign = site not in {"same-origin", "none"}
        else:
            own = {headers.get("host"), self._public.netloc or None}
            is_foreign = _find_netloc(headers.get("origin")) not in own - {None}
        if is_foreign:
            raise CrossSiteRequest(
                "a page of another site sent this request, so nothing was done; act in the dashboard"
            )

    def _find_by_cookie(self, connection: HTTPConnection) -> KeyHolder | None:
        token = self._cookie.read(connection)
        session = self._sessions.find(token) if token else None
        return self._sessions.find_holder(session) if session else None


def _is_own_name(name: str) -> bool:
    """Whether nobody can point a name at another machine: an address, or a name that stands for this machine."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True


def _find_netloc(origin: str | None) -> str | None:
    try:
        return urlsplit(origin or "").netloc or None
    except ValueError:
        return None
