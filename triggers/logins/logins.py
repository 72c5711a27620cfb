"""Logins: from the URL that a person opens to the tokens that are stored.

The `state` in the URL is unguessable, belongs to one connection, and works once and for ten minutes. The PKCE verifier
never leaves the service. Both are in memory: a login that a restart interrupts is begun again.
"""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from durable.action import ActionError, OpenConnection
from durable.connection_auth import LoginWay, find_login
from durable.encrypted_store.errors import StoreError
from durable.grant import Authorization
from durable.grants.grants import Grants
from durable.journal.errors import JournalError
from durable.secrets import SecretMissing
from durable.wording import make_printable, quote
from triggers.audit import AuditLog, Caller
from triggers.config.connections import Connections
from triggers.refusals import LoginRefused

log = logging.getLogger("waypost.connections")

CALLBACK = "/oauth/callback"

LIFETIME = 600_000
"""How long a login may take, in ms."""

ANSWER_LIMIT = 300
"""The maximum length of a service's reason for a refusal in a message."""

LoginStatus: TypeAlias = Literal["pending", "completed", "failed"]


@dataclass(slots=True)
class Login:
    """A login that has begun. `message` describes its state, and `identity` what the tokens will be issued for."""

    connection: str
    by: str
    state: str
    identity: str
    authorization: Authorization
    expires_at: int
    message: str
    status: LoginStatus = "pending"
    is_taken: bool = False


class LoginReply(NamedTuple):
    """The content of the page to which a service sends the browser."""

    status: int
    title: str
    text: str


class Logout(NamedTuple):
    """What a logout did. `is_revoked`: the service has revoked the tokens."""

    was_logged_in: bool
    is_revoked: bool
    message: str


_UNKNOWN = LoginReply(
    404,
    "Not logged in",
    "This login is unknown: it was replaced by a later one, or the service was restarted. Begin it again with `waypost "
    "connections login`.",
)


class Logins:
    """Logs connections in and out. `url` is where browsers reach the service."""

    def __init__(
        self, connections: Connections, grants: Grants, url: str, now: Callable[[], int], audit: AuditLog
    ) -> None:
        self.url = url
        self.redirect_url = f"{url}{CALLBACK}"
        self.connections = connections
        self.grants = grants
        self._now = now
        self._audit = audit
        self._logins: dict[str, Login] = {}

    def find(self, name: str) -> Login | None:
        """Return the last login of a connection since the service started."""
        login = self._logins.get(name)
        if login and login.status == "pending" and login.expires_at <= self._now():
            _end(login, "failed", f"The login of {name} has expired. {_advise(name)}")
        return login

    async def begin(self, name: str, by: str) -> Login:
        """Begin a login, in place of one that is pending. Raises `LoginRefused`, and `StoreKeyMissing` if tokens cannot
        be stored."""
        opened, way = self._open(name)
        self.grants.ensure_key()
        state = secrets.token_urlsafe(32)
        try:
            authorization = await self.grants.call_service(
                opened.name, lambda context: way.flow.begin(context, way.settings, self.redirect_url, state)
            )
        except ActionError as error:
            raise LoginRefused(f"the login of {quote(name)} cannot begin: {error.message}") from None
        login = Login(
            connection=name,
            by=by,
            state=state,
            identity=way.identity,
            authorization=authorization,
            expires_at=self._now() + LIFETIME,
            message=f"The login of {name} waits for an answer at the service.",
        )
        self._logins[name] = login
        log.info("a login of %s was begun by %s", quote(name), quote(by))
        return login

    async def finish(self, answer: Mapping[str, str], address: str | None) -> LoginReply:
        """Take the answer that a browser brings back from an address, once; a page that is loaded again shows how the
        login ended."""
        login = self._find_by_state(answer.get("state", ""))
        if login is None:
            return _UNKNOWN
        if self.find(login.connection) is login and login.status == "pending":
            if login.is_taken:
                return LoginReply(
                    409, "One moment", "This login is being completed. Load the page again to see how it ended."
                )
            login.is_taken = True
            await asyncio.shield(asyncio.create_task(self._complete_recorded(login, answer, address)))
        if login.status == "completed":
            return LoginReply(200, "Logged in", login.message)
        return LoginReply(400, "Not logged in", login.message)

    def _find_by_state(self, state: str) -> Login | None:
        given = state.encode(errors="replace")
        return next((each for each in self._logins.values() if hmac.compare_digest(each.state.encode(), given)), None)

    async def _complete_recorded(self, login: Login, answer: Mapping[str, str], address: str | None) -> None:
        caller = Caller(None, "link", address, login.by)
        record = await self._audit.begin(caller, "complete_login", "connection", login.connection)
        await self._complete(login, answer)
        await self._audit.end(record, 200 if login.status == "completed" else 409)

    async def _complete(self, login: Login, answer: Mapping[str, str]) -> None:
        """Exchange the answer for tokens, and store them."""
        name = login.connection
        try:
            await self._exchange(login, answer)
        except (LoginRefused, ActionError, StoreError, JournalError) as error:
            _end(login, "failed", f"The login of {name} failed: {error}. {_advise(name)}")
            log.warning("the login of %s failed: %s", quote(name), error)
        except Exception:
            _end(login, "failed", f"The login of {name} failed; the service's log says why. {_advise(name)}")
            log.exception("the login of %s failed", quote(name))
        else:
            resume = "Runs that were paused because of it continue with `waypost retry --all --status paused`."
            _end(login, "completed", f"The connection {name} is logged in. You can close this page. {resume}")
            log.info("the connection %s was logged in by %s", quote(name), quote(login.by))

    async def _exchange(self, login: Login, answer: Mapping[str, str]) -> None:
        if "error" in answer:
            said = [answer[each] for each in ("error", "error_description") if answer.get(each)]
            raise LoginRefused(f"the service answered {make_printable(': '.join(said)[:ANSWER_LIMIT])}")
        opened, way = self._open(login.connection)
        if way.identity != login.identity:
            raise LoginRefused("the connection was changed meanwhile")
        authorization, at = login.authorization, self._now()
        grant = await self.grants.call_service(
            opened.name, lambda context: way.flow.finish(context, way.settings, authorization, answer, at)
        )
        await self.grants.keep(opened.name, way.identity, grant, login.by)

    async def log_out(self, name: str, by: str) -> Logout:
        """Delete the tokens of a connection, and revoke them if the service supports that."""
        self._logins.pop(name, None)
        problem, is_revoked = None, False
        try:
            is_revoked = await self._revoke(name)
        except (LoginRefused, ActionError) as error:
            problem = str(error)
        was_logged_in = await self.grants.forget(name)
        if not was_logged_in:
            return Logout(False, False, f"{name} was not logged in")
        log.info("the connection %s was logged out by %s", quote(name), quote(by))
        if is_revoked:
            return Logout(True, True, f"{name} is logged out, and the service has revoked its tokens")
        why = problem or "the connection has no `revoke_url`"
        return Logout(True, False, f"{name} is logged out, but its tokens were not revoked: {why}")

    async def _revoke(self, name: str) -> bool:
        opened, way = self._open(name)
        grant = await self.grants.find(name, way.identity)
        if grant is None:
            raise LoginRefused("there are none that it would know")
        return await self.grants.call_service(
            opened.name, lambda context: way.flow.revoke(context, way.settings, grant)
        )

    def _open(self, name: str) -> tuple[OpenConnection, LoginWay]:
        """Return a connection, and how it is logged in; raises `LoginRefused`."""
        connector = self.connections.find_connector(name)
        try:
            opened = self.connections.open(name, f"{connector}.")
        except (SecretMissing, ActionError) as error:
            raise LoginRefused(str(error)) from None
        way = find_login(opened.auth)
        if way is None:
            raise LoginRefused(f"the connection {quote(name)} needs no login: its credentials are in its fields")
        return opened, way


def _end(login: Login, status: LoginStatus, message: str) -> None:
    login.status, login.message = status, message


def _advise(name: str) -> str:
    return f"Begin it again with `waypost connections login {name}`."
