"""What a check of `waypost doctor` finds, and the check of the store key."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from durable.encrypted_store.errors import ValueUnreadable
from durable.encrypted_store.key_ring import KeyRing
from durable.encrypted_store.secrets import decrypt_secrets
from durable.units import SealedValue
from durable.values import JSON
from durable.wording import count_things
from triggers.reading.stored_secrets import read_sealed_values
from triggers.settings import Settings
from triggers.store_key import StoreKeySource

CheckState: TypeAlias = Literal["ok", "warning", "wrong"]

STORE_KEY = "store key"


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found, and what to do about it."""

    check: str
    state: CheckState
    found: str
    cure: str | None = None

    def to_json(self) -> dict[str, JSON]:
        return {"check": self.check, "state": self.state, "found": self.found, "cure": self.cure}


def check_store_key(settings: Settings, data: Path) -> Check:
    """The store key of this environment, compared with what the journal of a data folder needs."""
    source = StoreKeySource(settings, data)
    ring, values = source.load(), read_sealed_values(data)
    if ring.problem:
        cure = "correct it; until then, what is stored cannot be read and nothing can be stored"
        return Check(STORE_KEY, "wrong", ring.problem, cure)
    _, unreadable = decrypt_secrets(ring, values)
    if unreadable:
        return _describe_unreadable(ring, unreadable)
    if ring.current is None:
        return Check(STORE_KEY, "ok", "there is none, and nothing is stored that needs one")
    found = f"{ring.current.id} encrypts {count_things(len(values), 'stored value')}"
    if doubts := [*source.find_doubts()]:
        return Check(STORE_KEY, "warning", f"{found}; {'; '.join(doubts)}", "correct this where the service starts")
    return _describe_older(ring, values, found)


def _describe_unreadable(ring: KeyRing, unreadable: Sequence[ValueUnreadable]) -> Check:
    """What cannot be decrypted, by name, and the keys that are missing."""
    wanted = sorted({each.key for each in unreadable if each.key})
    changed = [each for each in unreadable if each.key is None]
    names = ", ".join(f"{each.kind} {each.name}" for each in unreadable[:5])
    more = f", and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
    if changed:
        found = f"{changed[0]}; not readable: {names}{more}"
        return Check(STORE_KEY, "wrong", found, "restore a backup, or remove it and set it again")
    here = f"the key here is {ring.current.id}" if ring.current else "no key is set in this shell"
    found = f"{here}, but the store key {', '.join(wanted)} is needed for: {names}{more}"
    cure = "set WAYPOST_STORE_KEY_FILE to the file of that key where the service starts, or in an --env-file"
    return Check(STORE_KEY, "wrong" if ring.current else "warning", found, cure)


def _describe_older(ring: KeyRing, values: Sequence[SealedValue], found: str) -> Check:
    """Whether a rotation has to be completed."""
    older = Counter(value.key for value in values if value.key != ring.ids[0])
    if not older:
        return Check(STORE_KEY, "ok", found)
    counts = ", ".join(f"{count} with {key}" for key, count in sorted(older.items()))
    found = f"the current key is {ring.ids[0]}, but values are still encrypted with older ones: {counts}"
    return Check(STORE_KEY, "warning", found, "`waypost secrets key rotate` encrypts them with the current key")
