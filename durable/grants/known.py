"""What is stored of the grants of connections, for those who tell people whether a login is needed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from durable.action import OpenConnection
from durable.connection_auth import find_login
from durable.encrypted_store.errors import ValueUnreadable
from durable.encrypted_store.key_ring import KeyRing
from durable.encrypted_store.secrets import explain_cure
from durable.grants.renewal import explain_login
from durable.grants.stored import StoredGrant
from durable.units import SealedValue


@dataclass(frozen=True, slots=True)
class KnownGrants:
    """The stored grants that could be read, and why others could not; both by connection."""

    stored: dict[str, StoredGrant] = field(default_factory=dict)
    unreadable: dict[str, ValueUnreadable] = field(default_factory=dict)

    @classmethod
    def decrypt(cls, ring: KeyRing, values: Iterable[SealedValue]) -> Self:
        """Return the grants among stored values."""
        known = cls()
        for value in values:
            if value.kind == "token":
                try:
                    known.stored[value.name] = StoredGrant.decode(ring.open(value))
                except ValueUnreadable as error:
                    known.unreadable[value.name] = error
        return known

    def find_login_problem(self, connection: OpenConnection, now: int) -> str | None:
        """Return why a connection needs a login, and what to do; None if it needs none."""
        login, name = find_login(connection.auth), connection.name
        if login is None:
            return None
        if error := self.unreadable.get(name):
            return f"{error}: {explain_cure(error)}"
        stored = self.stored.get(name)
        problem = stored.find_problem(login.identity, now) if stored else "nobody has logged it in"
        return explain_login(name, problem) if problem else None
