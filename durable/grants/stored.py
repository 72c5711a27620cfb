"""What the encrypted store keeps of a connection's grant."""

import asyncio
import logging

import msgspec

from durable.durations import describe_time
from durable.encrypted_store.errors import ValueUnreadable
from durable.encrypted_store.store import EncryptedStore
from durable.grant import Grant
from durable.journal.errors import JournalBusy, JournalFull
from durable.wording import quote

log = logging.getLogger("waypost.connections")

RETRY_SECONDS = 1.0


class RefreshLease(msgspec.Struct, frozen=True):
    """The right to renew a grant: one process has it, until this time (ms). It is stored before the service is called,
    so that a refresh token is never sent twice at the same time."""

    holder: str
    until: int


class GrantLoss(msgspec.Struct, frozen=True):
    """When (ms) and why a grant could not be renewed any more."""

    at: int
    reason: str


class StoredGrant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A grant as it is stored, encrypted.

    `identity`: what it was issued for (`GrantFlow.identify`).
    `grant`: None if it was lost.
    `lease`: who is renewing it, or was when the process ended.
    """

    identity: str
    grant: Grant | None = None
    lease: RefreshLease | None = None
    loss: GrantLoss | None = None

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "StoredGrant":
        """Read what `encode` returned; raises `ValueError`."""
        return msgspec.json.decode(text, type=cls)

    def find_problem(self, identity: str, now: int) -> str | None:
        """Return why the grant cannot be used for this identity; None if it can."""
        if self.identity != identity:
            return "its client, or where its tokens come from, was changed after the login"
        if self.loss:
            return f"its login ended at {describe_time(self.loss.at, now)}: {self.loss.reason}"
        return None


class KeptGrant(msgspec.Struct, frozen=True):
    """A stored grant, and the generation that a write over it has to name."""

    stored: StoredGrant
    generation: int


class GrantStore:
    """The grants in the encrypted store, by the names of their connections."""

    def __init__(self, store: EncryptedStore) -> None:
        self._store = store

    async def list_names(self) -> list[str]:
        return [value.name for value in await self._store.list_values("token")]

    async def read(self, connection: str) -> KeptGrant | None:
        """Return a grant, None if there is none; raises `ValueUnreadable`."""
        found = await self._store.read("token", connection)
        return KeptGrant(StoredGrant.decode(found.text), found.generation) if found else None

    async def write(self, connection: str, stored: StoredGrant, generation: int, by: str) -> KeptGrant | None:
        """Store a grant if the stored one still has this generation; None if another write came first. While the disk
        is full, it waits: the service has forgotten the previous token, so this one must not be lost."""
        while True:
            try:
                made = await self._store.write("token", connection, stored.encode(), generation=generation, by=by)
            except (JournalFull, JournalBusy) as error:
                log.error("the token of %s cannot be stored yet: %s", quote(connection), error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            return None if made is None else KeptGrant(stored, made)

    async def replace(self, connection: str, stored: StoredGrant, by: str) -> KeptGrant:
        """Store a grant whatever is stored, also if that cannot be decrypted."""
        while True:
            try:
                known = await self.read(connection)
            except ValueUnreadable:
                known = None
                await self._store.remove("token", connection)
            if kept := await self.write(connection, stored, known.generation if known else 0, by):
                return kept

    async def remove(self, connection: str) -> bool:
        """Remove a grant, readable or not; False if there is none."""
        return await self._store.remove("token", connection)

    def ensure_key(self) -> None:
        """Raise `StoreKeyMissing` if nothing can be stored."""
        self._store.ensure_key()
