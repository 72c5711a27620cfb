"""Sessions: who is signed in to the dashboard, and until when.

A session belongs to the key with which its person signed in, and ends with it. All open sessions are in memory, so that
a request is answered without a read of the journal.
"""

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import Callable

from msgspec.structs import replace

from durable import metrics
from durable.clock import new_id
from durable.durations import parse_duration
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.sessions import Session
from triggers.audit import AuditLog, Caller
from triggers.keys import ADMIN, SCOPES, KeyHolder, Keys, drop_failure, hash_key

IDLE = parse_duration("12h")
"""A session ends after this time without a request, in ms."""

LIFETIME = parse_duration("30d")
"""A session ends after this time in any case, in ms."""

PROVIDER_LIFETIME = parse_duration("12h")
"""The same for a person of an identity provider, which does not tell when it has blocked somebody."""

PROVIDER = "oidc"
"""The id of the key of all people of the identity provider."""

SEEN_INTERVAL = parse_duration("10m")
"""How often the last request of a session is written, in ms."""

KEPT_AFTER_END = parse_duration("30d")
"""How long the row of a session that has ended is kept, in ms."""

MOST_OPEN = 1_000
"""The open sessions. If there are more, the one that was not used for longest ends."""

ADMIN_PREFIX = f"{ADMIN}:"
"""The beginning of what the sessions of the admin key keep as its id; its hash follows."""

TEXT_LIMIT = 300
"""The characters of a browser's name that are kept."""


class Sessions:
    """The open sessions of the journal, which is their only writer. `provider`: what sessions of people of the identity
    provider keep as the id of their key; it changes with the settings."""

    def __init__(
        self, journal: Journal, keys: Keys, now: Callable[[], int], audit: AuditLog, provider: str | None = None
    ) -> None:
        self._journal = journal
        self._keys = keys
        self._now = now
        self._audit = audit
        self._provider = provider
        self._by_hash: dict[str, Session] = {}
        metrics.SESSIONS.set_function(lambda: len(self.list_open()))

    async def load(self) -> None:
        """Learn the open sessions, and end those of an admin key or of an identity provider that was changed."""
        found = await self._journal.list_open_sessions()
        is_admin = any(session.key.startswith(ADMIN_PREFIX) for session in found)
        admin = ADMIN_PREFIX + await self._keys.derive_admin_hash() if is_admin else None
        for session in found:
            is_changed = session.key.startswith(ADMIN_PREFIX) and session.key != admin
            if is_changed or (session.subject is not None and session.key != self._provider):
                await asyncio.shield(self._journal.end_session(session.id, self._now()))
            else:
                self._by_hash[session.hash] = session

    async def begin(
        self, holder: KeyHolder, *, address: str | None, agent: str | None, subject: str | None = None
    ) -> str:
        """Begin a session for the holder of a key, or for a `subject` of the identity provider; returns the token for
        their cookie."""
        at = self._now()
        token = secrets.token_urlsafe(32)
        key = self._provider if subject is not None else holder.key
        if key == ADMIN:
            key = ADMIN_PREFIX + await self._keys.derive_admin_hash()
        assert key is not None, "a subject is known only if there is a provider"
        session = Session(
            id=new_id("ses", at),
            hash=hash_key(token),
            key=key,
            name=holder.name,
            scope=holder.rights,
            subject=subject,
            created_at=at,
            seen_at=at,
            expires_at=at + (LIFETIME if subject is None else PROVIDER_LIFETIME),
            address=address,
            agent=agent[:TEXT_LIMIT] if agent else None,
        )
        await self._make_room()
        caller = Caller(dataclasses.replace(holder, session=session.id), "dashboard", address)
        record = await self._audit.begin(caller, "sign_in", "session", session.id)
        await asyncio.shield(self._journal.add_session(session, at - KEPT_AFTER_END))
        await self._audit.end(record, 303)
        self._by_hash[session.hash] = session
        return token

    def find(self, token: str) -> Session | None:
        """The open session of a token, which is used now."""
        session = self._by_hash.get(hash_key(token))
        if session is None or self.find_holder(session) is None:
            return None
        return self._note_seen(session)

    def find_holder(self, session: Session) -> KeyHolder | None:
        """What the person of a session may do; None if the session or its key has ended."""
        at = self._now()
        if session.ended_at is not None or at >= min(session.expires_at, session.seen_at + IDLE):
            return None
        if session.subject is not None:
            scope = next((scope for scope in SCOPES if scope == session.scope), None)
            if scope is None or session.key != self._provider:
                return None
            return KeyHolder(session.name, scope, PROVIDER, session.id)
        holder = self._keys.find_holder_of(find_key(session))
        return dataclasses.replace(holder, session=session.id) if holder else None

    def list_open(self) -> list[Session]:
        """The open sessions, the oldest first."""
        return [session for session in self._by_hash.values() if self.find_holder(session)]

    async def end(self, id: str) -> Session | None:
        """End an open session; None if there is none of that id."""
        found = next((session for session in self.list_open() if session.id == id), None)
        if found is None:
            return None
        at = self._now()
        await asyncio.shield(self._journal.end_session(id, at))
        self._by_hash.pop(found.hash, None)
        return replace(found, ended_at=at)

    async def _make_room(self) -> None:
        """Forget what has ended, and end the session that was not used for longest if there are too many."""
        self._by_hash = {session.hash: session for session in self.list_open()}
        if len(self._by_hash) >= MOST_OPEN:
            await self.end(min(self._by_hash.values(), key=lambda session: session.seen_at).id)

    def _note_seen(self, session: Session) -> Session:
        """Write the last request of a session from time to time. If that fails, it is written at a later request."""
        at = self._now()
        if at - session.seen_at < SEEN_INTERVAL:
            return session
        seen = self._by_hash[session.hash] = replace(session, seen_at=at)
        with contextlib.suppress(JournalError):
            self._journal.keep_session_seen(session.id, at).add_done_callback(drop_failure)
        return seen


def find_key(session: Session) -> str:
    """The id of the key to which a session belongs; `oidc` for people of the identity provider."""
    if session.subject is not None:
        return PROVIDER
    return ADMIN if session.key.startswith(ADMIN_PREFIX) else session.key
