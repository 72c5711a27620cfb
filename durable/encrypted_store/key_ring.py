"""Store keys: AES-256-GCM for single values, with several keys during a rotation.

A store key is 32 random bytes, written as `wpk_` and base64url. Its id is derived from it, so that a value can name the
key that it needs, and a wrong key is recognised before anything is decrypted. The ciphertext is bound to the value's
kind, name and generation and to the key's id, as associated data: a row that is copied over another one, or over a
later version of itself, cannot be decrypted.

    KeyRingInvalid      a text is not a list of store keys
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Self

import msgspec

from durable.encrypted_store.errors import NEW_KEY, ValueUnreadable
from durable.lazy import load_module
from durable.units import SealedKind, SealedValue

PREFIX = "wpk_"
"""What every store key begins with, so that people and scanners recognise one."""

KEY_BYTES = 32
NONCE_BYTES = 12
"""96 random bits for each value: NIST SP 800-38D allows 2**32 values with one key."""

ID_DIGITS = 12

CIPHER = "durable.encrypted_store.cipher"
"""Loaded for the first value."""


class KeyRingInvalid(ValueError):
    """A text is not a list of store keys. The message shows nothing of it."""


class StoreKey:
    """One key. `id`: its public name, which is part of each value that it encrypts."""

    def __init__(self, data: bytes) -> None:
        self.id = hashlib.sha256(b"waypost store key id\0" + data).hexdigest()[:ID_DIGITS]
        self._data = data

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key; raises `KeyRingInvalid`."""
        digits = text.removeprefix(PREFIX)
        try:
            data = base64.b64decode(digits + "=" * (-len(digits) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if not text.startswith(PREFIX) or len(data) != KEY_BYTES:
            raise KeyRingInvalid("is not a store key")
        return cls(data)

    def encode(self) -> str:
        """Return the key as text."""
        return PREFIX + base64.urlsafe_b64encode(self._data).rstrip(b"=").decode()

    def seal(self, kind: SealedKind, name: str, generation: int, text: str, at: int, by: str) -> SealedValue:
        """Encrypt a value."""
        nonce = os.urandom(NONCE_BYTES)
        bound = _bind(kind, name, generation, self.id)
        data: bytes = load_module(CIPHER).encrypt(self._data, nonce, text.encode(), bound)
        return SealedValue(kind, name, generation, self.id, nonce, data, at, by)

    def open(self, value: SealedValue) -> str:
        """Decrypt a value that this key encrypted; raises `ValueUnreadable`."""
        bound = _bind(value.kind, value.name, value.generation, self.id)
        try:
            data: bytes = load_module(CIPHER).decrypt(self._data, value.nonce, value.data, bound)
            return data.decode()
        except ValueError:
            problem = "was changed outside of Waypost, or copied from another row"
            raise ValueUnreadable(value.kind, value.name, problem) from None


class KeyRing:
    """Store keys in order: the first encrypts, all of them decrypt. `problem`: why there is none, if one was set."""

    def __init__(self, keys: Sequence[StoreKey] = (), problem: str | None = None) -> None:
        self._keys = {key.id: key for key in keys}
        self.current = keys[0] if keys else None
        self.problem = problem

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read keys that are separated by white space, the current one first; raises `KeyRingInvalid`."""
        words = text.split()
        if not words:
            raise KeyRingInvalid("is empty")
        keys: list[StoreKey] = []
        for number, word in enumerate(words, 1):
            try:
                keys.append(StoreKey.parse(word))
            except KeyRingInvalid:
                where = "is not a store key" if len(words) == 1 else f"has an invalid key at position {number}"
                raise KeyRingInvalid(f"{where}: {NEW_KEY} makes one") from None
        return cls(keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the current one first."""
        return tuple(self._keys)

    @property
    def keys(self) -> tuple[StoreKey, ...]:
        """The keys, the current one first."""
        return tuple(self._keys.values())

    def open(self, value: SealedValue) -> str:
        """Decrypt a value; raises `ValueUnreadable`."""
        key = self._keys.get(value.key)
        if key is None:
            problem = f"is encrypted with the store key {value.key}, which is not set"
            raise ValueUnreadable(value.kind, value.name, problem, value.key)
        return key.open(value)


def _bind(kind: SealedKind, name: str, generation: int, key: str) -> bytes:
    """Return the associated data of a value: what its row is."""
    return msgspec.json.encode(("sealed_values", kind, name, generation, key))
