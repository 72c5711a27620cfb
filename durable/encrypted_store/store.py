"""The store: reads, writes and removes encrypted values of the journal, and encrypts them anew in a rotation.

A write names the generation that its writer has read, so that of two writers one loses and learns of it. Values are
decrypted when they are read, and not kept.
"""

import asyncio
from collections.abc import Callable

import msgspec

from durable.encrypted_store.errors import StoreKeyMissing, ValueUnreadable
from durable.encrypted_store.key_ring import KeyRing, StoreKey
from durable.journal.journal import Journal
from durable.journal.sealed_values import find_sealed_value, list_sealed_values
from durable.units import SealedKind, SealedValue


class StoredText(msgspec.Struct, frozen=True):
    """A decrypted value, and the generation that a write over it has to name."""

    text: str
    generation: int


class Resealing(msgspec.Struct, frozen=True):
    """What a rotation did. `key`: the id of the key that every readable value has now; `count`: the values that were
    encrypted anew; `unreadable`: those that remain as they were."""

    key: str
    count: int
    unreadable: tuple[ValueUnreadable, ...] = ()


class EncryptedStore:
    """The encrypted values of a journal. `ring` are its keys."""

    def __init__(self, journal: Journal, ring: KeyRing, now: Callable[[], int]) -> None:
        self.ring = ring
        self._journal = journal
        self._now = now

    async def read(self, kind: SealedKind, name: str) -> StoredText | None:
        """Return a value, None if there is none; raises `ValueUnreadable`."""
        found = await self._journal.read(find_sealed_value, kind, name)
        return StoredText(self.ring.open(found), found.generation) if found else None

    async def write(self, kind: SealedKind, name: str, text: str, *, generation: int, by: str) -> int | None:
        """Store a value if the stored one still has this generation (0: there is none). Returns its new generation once
        it is committed, None if another write came first. `by`: who writes it. Raises `StoreKeyMissing`."""
        at = self._now()
        # The first generation is the time: a value that was removed and is stored again has none of its earlier ones.
        made = generation + 1 if generation else at
        value = self._find_current_key().seal(kind, name, made, text, at, by)
        is_stored = await asyncio.shield(self._journal.put_sealed_value(value, generation))
        return made if is_stored else None

    async def set(self, kind: SealedKind, name: str, text: str, *, by: str) -> int:
        """Store a value whatever its generation, and return the new one. Raises `StoreKeyMissing`, and
        `ValueUnreadable` instead of replacing a value that cannot be decrypted here."""
        while True:
            known = await self.read(kind, name)
            made = await self.write(kind, name, text, generation=known.generation if known else 0, by=by)
            if made is not None:
                return made

    async def remove(self, kind: SealedKind, name: str) -> bool:
        """Remove a value, readable or not; False if there is none."""
        return await asyncio.shield(self._journal.remove_sealed_value(kind, name))

    async def list_values(self, kind: SealedKind | None = None) -> list[SealedValue]:
        """Return the values of a kind, or of all kinds, as they are stored: encrypted."""
        return await self._journal.read(list_sealed_values, kind)

    async def reseal(self) -> Resealing:
        """Encrypt every value with the current key. Each value is a unit of its own, so that a crash leaves every value
        readable with one key of the ring; it keeps its generation. Raises `StoreKeyMissing`."""
        key = self._find_current_key()
        unreadable: dict[tuple[str, str], ValueUnreadable] = {}
        count = 0
        while left := [
            value
            for value in await asyncio.shield(self._journal.list_values_of_other_keys(key.id))
            if (value.kind, value.name) not in unreadable
        ]:
            units: list[asyncio.Future[bool]] = []
            for value in left:
                try:
                    units.append(self._journal.reseal_value(self._reseal_value(value, key), value.key))
                except ValueUnreadable as error:
                    unreadable[value.kind, value.name] = error
            count += sum(await asyncio.shield(asyncio.gather(*units)))
        return Resealing(key.id, count, tuple(unreadable.values()))

    def ensure_key(self) -> None:
        """Raise `StoreKeyMissing` if there is no key to encrypt with."""
        self._find_current_key()

    def _reseal_value(self, value: SealedValue, key: StoreKey) -> SealedValue:
        text = self.ring.open(value)
        return key.seal(value.kind, value.name, value.generation, text, value.updated_at, value.updated_by)

    def _find_current_key(self) -> StoreKey:
        if self.ring.current is None:
            raise StoreKeyMissing(self.ring.problem)
        return self.ring.current
