"""The secrets of an instance, as people list, set and remove them, and the rotation of the store key."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from durable.encrypted_store.errors import SecretRefused, StoreError, StoreKeyFixed, StoreKeyMissing, ValueUnreadable
from durable.encrypted_store.key_ring import KeyRing
from durable.encrypted_store.secrets import decrypt_secrets, explain_cure
from durable.encrypted_store.store import EncryptedStore
from durable.journal.journal import Journal
from durable.secrets import PREFIX, SIZE_LIMIT, Secrets
from durable.units import SealedValue
from durable.wording import quote
from triggers.documents.fields import format_time
from triggers.documents.secrets import (
    RemovedSecretDocument,
    RotationDocument,
    SecretDocument,
    SecretListDocument,
)
from triggers.not_found import SecretNotFound
from triggers.settings import Settings
from triggers.store_key import StoreKeySource

log = logging.getLogger("waypost.secrets")

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")


class SecretStore:
    """Keeps the values of the encrypted store and those in use the same.

    `secrets`: those that are served. `store`: the encrypted values, tokens included. `unreadable`: the values
    that cannot be decrypted. `reload` is called after each change.
    """

    def __init__(self, secrets: Secrets, store: EncryptedStore, source: StoreKeySource) -> None:
        self.unreadable: tuple[ValueUnreadable, ...] = ()
        self.reload: Callable[[], Awaitable[None]] = _do_nothing
        self.secrets = secrets
        self.store = store
        self._source = source
        self._rotation = asyncio.Lock()

    def count_unreadable(self) -> int:
        """The number of stored values that cannot be decrypted."""
        return len(self.unreadable)

    def find_problems(self) -> list[str]:
        """What is wrong with the store key and the stored values, as whole sentences."""
        own = [self.store.ring.problem] if self.store.ring.problem else []
        values = [f"{each}: {explain_cure(each)}" for each in self.unreadable]
        return [*own, *self._source.find_doubts(), *values]

    async def load(self) -> None:
        """Read the stored secrets, so that they are used from now on."""
        stored, unreadable = decrypt_secrets(self.store.ring, await self.store.list_values())
        self.unreadable = tuple(unreadable)
        for key in self.store.ring.keys:
            self.secrets.redactor.learn(key.encode())
        self.secrets.replace_stored(stored)

    async def list_secrets(self) -> SecretListDocument:
        """List every secret that is set."""
        stored = {value.name: value for value in await self.store.list_values("secret")}
        names = sorted({*self.secrets.names(), *stored})
        key = self.store.ring.current
        return SecretListDocument(
            [document for name in names if (document := self._describe(name, stored.get(name)))],
            key.id if key else None,
            self.store.ring.problem,
        )

    async def set_secret(self, name: str, value: str, by: str) -> SecretDocument:
        """Store a secret; `by` is who does it. Raises `SecretRefused` and `StoreError`."""
        check_secret(name, value)
        self.secrets.redactor.learn(value)
        try:
            await self.store.set("secret", name, value, by=by)
        except ValueUnreadable as error:
            raise StoreError(f"{error}: {explain_cure(error)}") from None
        await self._apply()
        log.info("the secret %s was set by %s", quote(name), quote(by))
        stored = {each.name: each for each in await self.store.list_values("secret")}
        document = self._describe(name, stored.get(name))
        if document is None:
            raise SecretNotFound(name)  # another request has just removed it
        return document

    async def remove_secret(self, name: str, by: str) -> RemovedSecretDocument:
        """Remove a stored secret; raises `SecretNotFound`."""
        if not await self.store.remove("secret", name):
            raise SecretNotFound(name, is_variable=self.secrets.find_source(name) is not None)
        await self._apply()
        log.info("the stored secret %s was removed by %s", quote(name), quote(by))
        return RemovedSecretDocument(name, self.secrets.find_source(name))

    async def rotate_key(self, by: str) -> RotationDocument:
        """Encrypt every value with a newer key: with one that was put before the others, or else with one that is made
        now. A rotation that was interrupted is completed. Raises `StoreError`."""
        async with self._rotation:
            ring = await asyncio.to_thread(self._source.load)
            if ring.current is None:
                raise StoreKeyMissing(ring.problem)
            values = await self.store.list_values()
            self._ensure_complete(ring, values)
            is_new = not self._has_newer_key(ring, values)
            if is_new:
                ring = await asyncio.to_thread(self._source.add_key)
            self.store.ring = ring
            done = await self.store.reseal()
            await self._apply()
        log.info("the store key was rotated to %s by %s: %d values", done.key, quote(by), done.count)
        left = [str(each) for each in done.unreadable]
        return RotationDocument(done.key, is_new, [*ring.ids[1:]], done.count, left)

    def _ensure_complete(self, ring: KeyRing, values: Sequence[SealedValue]) -> None:
        """Raise `StoreKeyFixed` if the ring lacks a key that is in use: a crash would leave values unreadable."""
        used = {value.key for value in values}
        if lost := [id for id in self.store.ring.ids if id in used and id not in ring.ids]:
            raise StoreKeyFixed(
                f"the store key {', '.join(lost)}, which stored values are encrypted with, is no longer where the "
                "service finds its key: put it there again, after the new one, and repeat this command"
            )

    def _has_newer_key(self, ring: KeyRing, values: Sequence[SealedValue]) -> bool:
        """Whether there are values to be encrypted with the ring's first key, or it was put there since the start."""
        known, newest = self.store.ring.current, ring.current
        if known is None or newest is None or known.id != newest.id:
            return True
        return any(value.key in ring.ids[1:] for value in values)

    async def _apply(self) -> None:
        await self.load()
        await self.reload()

    def _describe(self, name: str, value: SealedValue | None) -> SecretDocument | None:
        source = self.secrets.find_source(name)
        if source is None:
            return None
        doubts = self.secrets.find_doubts(name)
        if value is None:
            return SecretDocument(name, source, doubts)
        return SecretDocument(name, source, doubts, value.key, format_time(value.updated_at), value.updated_by)


async def open_secret_store(
    settings: Settings, data: Path, secrets: Secrets, journal: Journal, now: Callable[[], int]
) -> SecretStore:
    """The store over an open journal, with its secrets in use."""
    source = StoreKeySource(settings, data)
    opened = SecretStore(secrets, EncryptedStore(journal, await asyncio.to_thread(source.load), now), source)
    await opened.load()
    return opened


def check_secret(name: str, value: str) -> None:
    """Raise `SecretRefused` for a name that no expression could read, and for a value that no file could hold."""
    if not _NAME.fullmatch(name):
        raise SecretRefused("a secret's name has 1 to 128 letters, digits and `_`, and does not begin with a digit")
    if name.endswith("_FILE"):
        raise SecretRefused(f"a secret's name cannot end in _FILE: {PREFIX}{name[:40]} would name a file")
    if not value:
        raise SecretRefused("the secret's value is empty")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise SecretRefused("the secret's value is not UTF-8 text without zero bytes")
    if len(value.encode()) > SIZE_LIMIT:
        raise SecretRefused(f"the secret's value is larger than {SIZE_LIMIT // 1024} KiB")


async def _do_nothing() -> None:
    """For a store without a service, in which nothing has to be reloaded."""
