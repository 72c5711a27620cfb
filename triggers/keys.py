"""Keys of the API: who may do what, and how often an address may guess.

A key is shown once, when it is made; the journal keeps only its SHA-256. What is set as `WAYPOST_API_KEY`, or is in
the key file, is the admin key beside them.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable
from typing import get_args

import msgspec

from durable.clock import new_id
from durable.journal.journal import Journal
from durable.units import ApiKey
from triggers.documents.fields import Scope
from triggers.settings import Settings, SettingsError

SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "wp_"
"""What every key begins with, so that people and scanners know one when they see it."""

LEAST_LENGTH = 16
"""Characters of an admin key that other machines may try."""

_BEARER = re.compile(r"[ \t]*bearer[ \t]+(.*[^ \t])[ \t]*", re.IGNORECASE)


def hash_key(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def includes_scope(scope: str, wanted: Scope) -> bool:
    """Whether a key of this scope may do what wants the other."""
    return scope in SCOPES and SCOPES.index(scope) >= SCOPES.index(wanted)


def parse_bearer(authorization: str | None) -> str | None:
    """The key that an Authorization header presents, None if it presents none."""
    presented = _BEARER.fullmatch(authorization or "")
    return presented[1] if presented else None


class Keys:
    """The keys of the journal, which is their only writer, and the admin key."""

    def __init__(self, journal: Journal, admin: str | None, now: Callable[[], int]) -> None:
        self._journal = journal
        self._admin = admin.encode() if admin else None
        self._now = now
        self._by_hash: dict[str, ApiKey] = {}

    async def load(self) -> None:
        """Learn the keys that the journal holds."""
        self._by_hash = {key.hash: key for key in await self._journal.list_keys()}

    def list_keys(self) -> list[ApiKey]:
        """Every key that was ever made, the oldest first."""
        return list(self._by_hash.values())

    def scope(self, presented: str) -> Scope | None:
        """What the holder of a key may do; None if it is worth nothing."""
        if self._admin and hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), self._admin):
            return "admin"
        found = self._by_hash.get(hash_key(presented))
        if found is None or found.revoked_at is not None:
            return None
        return next((scope for scope in SCOPES if scope == found.scope), None)

    async def create(self, name: str, scope: Scope) -> tuple[ApiKey, str]:
        """Make a key and keep it; the text is what its holder presents."""
        at = self._now()
        text = PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(new_id("key", at), name, scope, hash_key(text), at)
        await asyncio.shield(self._journal.add_key(key))
        self._by_hash[key.hash] = key
        return key, text

    async def revoke(self, id: str) -> ApiKey | None:
        """Make a key worthless from now on; None if there is none of that id."""
        found = next((key for key in self._by_hash.values() if key.id == id), None)
        if found is None or found.revoked_at is not None:
            return found
        at = self._now()
        await asyncio.shield(self._journal.revoke_key(id, at))
        revoked = self._by_hash[found.hash] = msgspec.structs.replace(found, revoked_at=at)
        return revoked


def ensure_guarded(settings: Settings, keys: Keys) -> None:
    """Raise `SettingsError` where other machines can reach the service and its API is not guarded on purpose."""
    if is_loopback(settings.host):
        return
    reach = f"other machines can reach {settings.host}"
    cure = f"set WAYPOST_API_KEY to {LEAST_LENGTH} characters or more"
    key = settings.api_key.get_secret_value() if settings.api_key else None
    if key is not None and len(key) < LEAST_LENGTH:
        raise SettingsError(f"{reach}, and the API key has {len(key)} characters: {cure}")
    if key is None and not any(each.revoked_at is None for each in keys.list_keys()):
        raise SettingsError(
            f"{reach}, and no key for the API has been chosen: {cure}, or make a key with `waypost keys create NAME`"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address; of a name, whether it says so."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
