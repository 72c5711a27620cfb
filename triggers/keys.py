"""Keys of the API: who may do what, and how often an address may guess.

A key is shown once, when it is made; the journal keeps only its SHA-256. What is set as `WAYPOST_API_KEY`, or is in
the key file, is the admin key beside them.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import get_args

import msgspec

from durable.clock import new_id
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.limit import Rate
from durable.units import ApiKey
from triggers.documents.fields import KeyGrant, KeyScope, Scope
from triggers.documents.keys import format_rights, parse_rights
from triggers.settings import Settings, SettingsError

SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "wp_"
"""What every key begins with, so that people and scanners know one when they see it."""

LEAST_LENGTH = 16
"""Characters of an admin key that other machines may try."""

WRONG_KEYS = Rate(20, 60_000)
"""Wrong keys that an address may present."""

ADMIN = "admin"
"""The id and the name of the key that is not kept in the journal."""

USE_INTERVAL = 600_000
"""How often the last use of a key is written, in ms."""

_BEARER = re.compile(r"[ \t]*bearer[ \t]+(.*[^ \t])[ \t]*", re.IGNORECASE)


def hash_key(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def includes_scope(scope: str | None, wanted: Scope) -> bool:
    """Whether a key of this scope may do what wants the other."""
    return scope in SCOPES and SCOPES.index(scope) >= SCOPES.index(wanted)


def parse_bearer(authorization: str | None) -> str | None:
    """The key that an Authorization header presents, None if it presents none."""
    presented = _BEARER.fullmatch(authorization or "")
    return presented[1] if presented else None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Somebody who presents a key, or who signed in with it: the key's name, scope and id, the id of their session, and
    the key's grants."""

    name: str
    scope: Scope | None
    key: str
    session: str | None = None
    grants: tuple[KeyGrant, ...] = ()

    @property
    def rights(self) -> str:
        """The scope and the grants, for people and for the journal."""
        return format_rights(self.scope, self.grants)

    def may(self, wanted: Scope, grant: KeyGrant | None = None) -> bool:
        """Whether the scope includes the wanted one, or the key has the grant that suffices in its place."""
        return includes_scope(self.scope, wanted) or grant in self.grants


class Keys:
    """The keys of the journal, which is their only writer, and the admin key."""

    def __init__(self, journal: Journal, admin: str | None, now: Callable[[], int]) -> None:
        self._journal = journal
        self._admin = admin.encode() if admin else None
        self._now = now
        self._by_hash: dict[str, ApiKey] = {}
        self._by_id: dict[str, ApiKey] = {}
        self._signing_root = b""

    async def load(self) -> None:
        """Learn the keys that the journal holds."""
        for key in await self._journal.list_keys():
            self._keep(key)

    def list_keys(self) -> list[ApiKey]:
        """Every key that was ever made, the oldest first."""
        return list(self._by_id.values())

    def find_holder(self, presented: str) -> KeyHolder | None:
        """The holder of a key; None if it is worth nothing."""
        if self._admin and hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), self._admin):
            return KeyHolder(ADMIN, "admin", ADMIN)
        found = self._by_hash.get(hash_key(presented))
        return self.find_holder_of(found.id) if found else None

    def find_holder_of(self, id: str) -> KeyHolder | None:
        """The holder of the key with an id, which is used now; None if there is none, or it is revoked."""
        if id == ADMIN:
            return KeyHolder(ADMIN, "admin", ADMIN) if self._admin else None
        found = self._by_id.get(id)
        if found is None or found.revoked_at is not None:
            return None
        scope, grants = parse_rights(found.scope)
        if scope == "sign" or not (scope or grants):
            return None
        self._note_use(found)
        return KeyHolder(found.name, scope, found.id, None, grants)

    async def derive_admin_hash(self) -> str:
        """What distinguishes the admin key from the one before it."""
        return (await self._derive(b"waypost admin key", 16)).hex()

    async def derive_signing_root(self) -> None:
        """Derive the secret from which `make_signing_secret` derives those of keys."""
        self._signing_root = await self._derive(b"waypost stream tokens", 32)

    async def _derive(self, salt: bytes, size: int) -> bytes:
        """Derive a secret from the admin key, the same after a restart. A person may have chosen that key, so each
        guess at it is slow."""
        return await asyncio.to_thread(hashlib.scrypt, self._admin or b"", salt=salt, n=2**14, r=8, p=1, dklen=size)

    def make_signing_secret(self, id: str) -> str:
        """The secret that signs the tokens of a key, given its id. It is not stored, but follows from the admin key."""
        if not self._signing_root:
            raise LookupError("the secrets that sign tokens are not derived yet")
        digest = hmac.digest(self._signing_root, f"waypost stream tokens\0{id}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def is_active(self, id: str) -> bool:
        """Whether there is a valid key with this id."""
        found = self._by_id.get(id)
        return id == ADMIN or (found is not None and found.revoked_at is None)

    async def create(self, name: str, scope: KeyScope | None, grants: Collection[KeyGrant] = ()) -> tuple[ApiKey, str]:
        """Make a key and keep it; the text is what its holder presents, or the secret with which they sign."""
        at = self._now()
        id = new_id("key", at)
        text = self.make_signing_secret(id) if scope == "sign" else PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(id, name, format_rights(scope, grants), hash_key(text), at)
        await asyncio.shield(self._journal.add_key(key))
        self._keep(key)
        return key, text

    async def revoke(self, id: str) -> ApiKey | None:
        """Make a key worthless from now on, and its sessions; None if there is none of that id."""
        found = self._by_id.get(id)
        if found is None or found.revoked_at is not None:
            return found
        at = self._now()
        await asyncio.shield(self._journal.revoke_key(id, at))
        return self._keep(msgspec.structs.replace(self._by_id[id], revoked_at=at))

    def _keep(self, key: ApiKey) -> ApiKey:
        self._by_hash[key.hash] = self._by_id[key.id] = key
        return key

    def _note_use(self, key: ApiKey) -> None:
        """Write the last use of a key from time to time. If that fails, it is written at a later use."""
        at = self._now()
        if at - (key.last_used_at or 0) < USE_INTERVAL:
            return
        self._keep(msgspec.structs.replace(key, last_used_at=at))
        with contextlib.suppress(JournalError):
            self._journal.keep_key_use(key.id, at).add_done_callback(drop_failure)


def drop_failure(written: "asyncio.Future[None]") -> None:
    """Ignore the failure of a write that nobody waits for."""
    if not written.cancelled():
        written.exception()


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
