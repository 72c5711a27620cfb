"""Gives attempts the access tokens of their connections, and renews a grant once for all who need it.

A grant that began with a login is in the encrypted store, any other one only in memory.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from durable import metrics
from durable.action import ActionError, Context, LoginNeeded, OpenConnection
from durable.clock import new_id
from durable.encrypted_store.errors import StoreError, ValueUnreadable
from durable.grant import AccessTokens, Grant, GrantFlow
from durable.grants.known import KnownGrants
from durable.grants.renewal import GrantRenewer, is_due
from durable.grants.stored import GrantStore, StoredGrant
from durable.journal.errors import JournalError
from durable.redactor import Redactor
from durable.reports import TokenReport

log = logging.getLogger("waypost.connections")

CALL_SECONDS = 20.0
"""How long a service may take to answer."""

SETTLING_TIME = 60_000
"""In ms. A token that replaced a refused one is not replaced for being refused itself so soon."""


Called = TypeVar("Called")


class UsableGrant(NamedTuple):
    """A grant in memory, and what it was issued for."""

    identity: str
    grant: Grant


class Grants(AccessTokens):
    """The grants of all connections, by name.

    `resources`: those of actions, for the requests to services. `redactor`: knows the current tokens. `holder`,
    `is_alone`: as for `GrantRenewer`.
    """

    def __init__(
        self,
        store: GrantStore,
        resources: Mapping[type, object],
        redactor: Redactor,
        now: Callable[[], int],
        *,
        holder: str,
        is_alone: bool = True,
    ) -> None:
        self._store = store
        self._resources = resources
        self._redactor = redactor
        self._now = now
        self._renewer = GrantRenewer(store, now, holder, is_alone=is_alone)
        self._known = KnownGrants()
        self._usable: dict[str, UsableGrant] = {}
        self._replacements: dict[str, str] = {}
        self._renewals: dict[tuple[str, str], asyncio.Task[Grant]] = {}

    async def load(self) -> None:
        """Read what is stored, so that `find_login_problem` knows it."""
        for name in await self._store.list_names():
            await self._refresh(name)

    async def close(self) -> None:
        """Wait until no grant is being renewed: a refresh token that was sent has to be replaced."""
        if self._renewals:
            await asyncio.wait(self._renewals.values())

    # -- for attempts

    async def get_token(self, context: Context, flow: GrantFlow, settings: Any) -> str:
        name, identity, now = _get_name(context), flow.identify(settings), self._now()
        held = self._usable.get(name)
        grant = held.grant if held and held.identity == identity else None
        if grant is None or is_due(name, grant, now):
            try:
                grant = await self._renew(context, flow, settings, None)
            except LoginNeeded:
                raise
            except ActionError:
                if grant is None or (grant.expires_at or 0) <= self._now():
                    raise  # otherwise the token is still valid for a moment
        context.conceal(grant.access_token)
        return grant.access_token

    async def replace_refused(
        self, context: Context, flow: GrantFlow, settings: Any, headers: Mapping[str, str]
    ) -> bool:
        name = _get_name(context)
        held = self._usable.get(name)
        refused = held.grant.access_token if held else None
        if held is None or refused is None or not any(refused in value for value in headers.values()):
            return True  # it has been replaced in the meantime
        if self._replacements.get(name) == refused and self._now() - held.grant.issued_at < SETTLING_TIME:
            return False
        grant = await self._renew(context, flow, settings, refused)
        self._replacements[name] = grant.access_token
        return grant.access_token != refused

    async def _renew(self, context: Context, flow: GrantFlow, settings: Any, refused: str | None) -> Grant:
        """Return a grant other than that of the access token that was refused, if any. One task renews it for all
        attempts, and does not end with them."""
        name, identity = _get_name(context), flow.identify(settings)
        task = self._renewals.get((name, identity))
        if task is None:
            task = asyncio.create_task(self._perform_renewal(name, identity, flow, settings, refused))
            self._renewals[name, identity] = task
            task.add_done_callback(partial(self._end_renewal, name, identity))
        try:
            with context.waiting(f"the access token of {name} to be renewed"):
                return await asyncio.shield(task)
        except LoginNeeded as needed:
            raise LoginNeeded(needed.message) from None
        except ActionError as error:  # the attempt's own request was not sent, or was refused
            message = f"the access token of {name} cannot be renewed: {error.message}"
            raise ActionError(
                message,
                error_class=error.error_class,
                code=error.code,
                ending="not_sent",
                retry_after=error.retry_after,
            ) from None

    def _end_renewal(self, name: str, identity: str, task: "asyncio.Task[Grant]") -> None:
        del self._renewals[name, identity]
        if not task.cancelled():
            task.exception()  # the attempts that waited for it may be over

    async def _perform_renewal(
        self, name: str, identity: str, flow: GrantFlow, settings: Any, refused: str | None
    ) -> Grant:
        if not flow.needs_login(settings):
            grant = await self._request_grant(name, flow, settings, None)
            self._use(name, UsableGrant(identity, grant))
            return grant
        try:
            grant = await self._renewer.renew(
                name, identity, refused, lambda grant: self._request_grant(name, flow, settings, grant)
            )
        except (StoreError, JournalError) as error:
            message = f"the journal does not keep it: {error}"
            raise ActionError(message, error_class="internal", code="grant_store", ending="unknown") from None
        finally:
            await self._refresh(name)
        return grant

    async def _request_grant(self, name: str, flow: GrantFlow, settings: Any, grant: Grant | None) -> Grant:
        try:
            granted = await self.call_service(name, lambda context: flow.refresh(context, settings, grant, self._now()))
        except ActionError:
            metrics.count_renewal(name, "failed")
            raise
        metrics.count_renewal(name, "renewed")
        return granted

    async def call_service(self, name: str, call: Callable[[Context], Awaitable[Called]]) -> Called:
        """Let a flow call the service of a connection, for a limited time. Raises `ActionError`."""
        context = self.make_context(name)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call(context)
        except TimeoutError:
            message = f"the service that issues tokens took longer than {CALL_SECONDS:g} s"
            raise ActionError(message, error_class="timeout", code="token_timeout", ending="unknown") from None
        finally:
            context.close()

    def make_context(self, name: str) -> Context:
        """Return the context of a request to a service for a grant."""
        redactor = Redactor()
        return Context(
            run="",
            path="grant",
            attempt=1,
            key=new_id("call", self._now()),
            log=logging.LoggerAdapter(log, {"connection": name, "redactor": redactor}),
            resources=self._resources,
            connection_name=name,
            redactor=redactor,
        )

    # -- for people

    def find_login_problem(self, connection: OpenConnection) -> str | None:
        """Return why a connection needs a login; None if it needs none."""
        return self._known.find_login_problem(connection, self._now())

    def report_token(self, name: str) -> TokenReport | None:
        """Report the access token of a connection; None if it has none."""
        held = self._usable.get(name)
        if held is None:
            return None
        grant = held.grant
        return TokenReport(grant.issued_at, grant.expires_at, grant.refresh_token is not None)

    def list_lost(self) -> list[str]:
        """Return the connections whose service has ended the login."""
        return [name for name, stored in self._known.stored.items() if stored.loss]

    def ensure_key(self) -> None:
        """Raise `StoreKeyMissing` if no grant can be stored."""
        self._store.ensure_key()

    async def keep(self, name: str, identity: str, grant: Grant, by: str) -> None:
        """Store the grant of a login. Raises `StoreError`."""
        await self._store.replace(name, StoredGrant(identity, grant), by)
        await self._refresh(name)

    async def find(self, name: str, identity: str) -> Grant | None:
        """Return the stored grant, if there is one of this identity that can be read. If it is being renewed, wait for
        the new one."""
        if tasks := [task for (connection, _), task in self._renewals.items() if connection == name]:
            await asyncio.wait(tasks)
        await self._refresh(name)
        stored = self._known.stored.get(name)
        return stored.grant if stored and stored.identity == identity else None

    async def forget(self, name: str) -> bool:
        """Remove a grant; False if there is none."""
        is_removed = await self._store.remove(name)
        await self._refresh(name)
        return is_removed

    # -- in memory

    async def _refresh(self, name: str) -> None:
        """Read what is stored of a connection into memory."""
        known, kept = self._known, None
        known.unreadable.pop(name, None)
        try:
            kept = await self._store.read(name)
        except ValueUnreadable as error:
            known.unreadable[name] = error
        if kept is None:
            known.stored.pop(name, None)
        else:
            known.stored[name] = kept.stored
        if kept is None or kept.stored.grant is None:
            self._drop(name)
        else:
            self._use(name, UsableGrant(kept.stored.identity, kept.stored.grant))

    def _use(self, name: str, usable: UsableGrant) -> None:
        if self._usable.get(name) != usable:
            self._drop(name)
            self._usable[name] = usable
            for token in _list_tokens(usable.grant):
                self._redactor.learn(token)

    def _drop(self, name: str) -> None:
        if (held := self._usable.pop(name, None)) is not None:
            self._redactor.forget(_list_tokens(held.grant))


def _list_tokens(grant: Grant) -> Collection[str]:
    return [token for token in (grant.access_token, grant.refresh_token) if token]


def _get_name(context: Context) -> str:
    assert context.connection_name, "schemes sign requests of connections"
    return context.connection_name
