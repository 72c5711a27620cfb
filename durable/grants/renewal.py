"""Renews a grant that began with a login, so that no refresh token is lost, and none is sent twice without need.

The lease is stored, the service is asked, the new refresh token is stored, and only then the access token is used. Each
write names the generation that was read, so that of two processes one renews; the other one waits and reads again.

If the process is killed between the service's answer and its commit, the previous refresh token is sent once more.
Services that permit this for a while, or always, renew the grant. Others end it, and the connection needs a login.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec.structs import replace

from durable.action import ActionError, LoginNeeded
from durable.encrypted_store.errors import ValueUnreadable
from durable.encrypted_store.secrets import explain_cure
from durable.grant import Grant, GrantRefused
from durable.grants.stored import GrantLoss, GrantStore, KeptGrant, RefreshLease, StoredGrant
from durable.wording import quote

log = logging.getLogger("waypost.connections")

LEASE_TIME = 60_000
"""In ms; longer than the two calls that a renewal makes at most."""

POLL_SECONDS = 0.25
"""How often a process looks whether another one has renewed a grant."""

LONGEST_MARGIN = 60_000
"""In ms; a grant is renewed this long before it expires, or a tenth of its lifetime, if that is less."""

BY = "service"
"""Who stores a grant that was renewed."""

CallService: TypeAlias = Callable[[Grant], Awaitable[Grant]]
"""Asks the service for a new grant in place of this one; raises `ActionError`, and `GrantRefused`."""


def is_due(connection: str, grant: Grant, now: int) -> bool:
    """Whether a grant expires soon. Connections that were logged in together are not renewed at the same moment."""
    if grant.expires_at is None:
        return False
    jitter = hashlib.sha256(connection.encode()).digest()[0] / 512
    margin = min(LONGEST_MARGIN, (grant.expires_at - grant.issued_at) // 10) * (1 + jitter)
    return now >= grant.expires_at - margin


def explain_login(connection: str, problem: str) -> str:
    """Return a message that a connection needs a login, why, and what to do."""
    return f"the connection {quote(connection)} needs a login: {problem}; run `waypost connections login {connection}`"


class GrantRenewer:
    """Renews stored grants. `holder` names this process. `is_alone`: no other process uses the journal, so the lease of
    another one is that of a dead one."""

    def __init__(self, store: GrantStore, now: Callable[[], int], holder: str, *, is_alone: bool) -> None:
        self._store = store
        self._now = now
        self._holder = holder
        self._is_alone = is_alone

    async def renew(self, connection: str, identity: str, refused: str | None, call: CallService) -> Grant:
        """Return a grant that is not due, and whose access token is not the one that the service refused. Raises
        `ActionError`."""
        while True:
            kept, grant = await self._read(connection, identity)
            lease = kept.stored.lease
            if grant.access_token != refused and not is_due(connection, grant, self._now()):
                return grant
            if lease and self._is_held_by_another(lease):
                await asyncio.sleep(POLL_SECONDS)
                continue
            if grant.refresh_token is None:
                await self._lose(connection, kept, "its access token is no longer valid, and it has no refresh token")
                continue
            own = RefreshLease(self._holder, self._now() + LEASE_TIME)
            leased = await self._store.write(connection, replace(kept.stored, lease=own), kept.generation, BY)
            if leased:
                await self._renew_leased(connection, leased, grant, call, was_lost=lease is not None)
                refused = None

    async def _read(self, connection: str, identity: str) -> tuple[KeptGrant, Grant]:
        """Return what is stored; raises `LoginNeeded` if it cannot be used."""
        try:
            kept = await self._store.read(connection)
        except ValueUnreadable as error:
            raise LoginNeeded(f"{error}: {explain_cure(error)}") from None
        problem = kept.stored.find_problem(identity, self._now()) if kept else "nobody has logged it in"
        if kept is None or kept.stored.grant is None or problem:
            raise LoginNeeded(explain_login(connection, problem or "its grant is empty"))
        return kept, kept.stored.grant

    def _is_held_by_another(self, lease: RefreshLease) -> bool:
        return not self._is_alone and lease.holder != self._holder and self._now() < lease.until

    async def _renew_leased(
        self, connection: str, leased: KeptGrant, grant: Grant, call: CallService, *, was_lost: bool
    ) -> None:
        """Ask the service, and store its answer. If the answer is lost, ask once more with the same refresh token."""
        for is_last in (False, True):
            try:
                renewed = await call(grant)
            except GrantRefused as refused:
                lost = "; an earlier answer of the service was lost, perhaps with a new token" if was_lost else ""
                await self._lose(connection, leased, f"{refused.message}{lost}")
                return
            except ActionError as error:
                was_lost = was_lost or error.ending == "unknown"
                if error.ending == "unknown" and not is_last:
                    continue
                # A lease that has ended says that an answer was lost.
                left = RefreshLease(self._holder, 0) if was_lost else None
                await self._store.write(connection, replace(leased.stored, lease=left), leased.generation, BY)
                raise
            if renewed.refresh_token is None:
                renewed = replace(renewed, refresh_token=grant.refresh_token)
            stored = StoredGrant(leased.stored.identity, renewed)
            if await self._store.write(connection, stored, leased.generation, BY) is None:
                log.warning("a login or logout has replaced the token of %s while it was renewed", quote(connection))
            return

    async def _lose(self, connection: str, kept: KeptGrant, reason: str) -> None:
        """Store that the grant is lost, unless another one has replaced it in the meantime."""
        lost = StoredGrant(kept.stored.identity, loss=GrantLoss(self._now(), reason))
        if await self._store.write(connection, lost, kept.generation, BY):
            log.error("the connection %s needs a login: %s", quote(connection), reason)
