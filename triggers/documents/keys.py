"""API keys."""

from collections.abc import Collection
from typing import Annotated, Any, Self, get_args

from msgspec import Struct

from durable.units import ApiKey
from triggers.documents.fields import KeyGrant, KeyScope, Scope, Time, format_time, note


def parse_rights(stored: str) -> tuple[KeyScope | None, tuple[KeyGrant, ...]]:
    """The scope and the grants of a key as the journal stores them. Unknown words are those of a newer Waypost."""
    words = stored.split()
    scope = next((scope for scope in (*get_args(Scope), "sign") if scope in words), None)
    return scope, tuple(grant for grant in get_args(KeyGrant) if grant in words)


def format_rights(scope: KeyScope | None, grants: Collection[KeyGrant]) -> str:
    """A scope and grants as the journal stores them."""
    return " ".join([*([scope] if scope else []), *grants])


class KeyDocument(Struct, frozen=True):
    """A key, without what its holder presents."""

    id: str
    name: str
    scope: Annotated[
        KeyScope | None, note("`sign`: it signs tokens for streams, and is worth nothing else; null: only its grants")
    ]
    grants: Annotated[list[KeyGrant], note("`answer`: it may answer what runs wait for, and see that")]
    created_at: Time | None
    revoked_at: Time | None
    last_used_at: Annotated[Time | None, note("Its last use, to within ten minutes; null if it was never used")]

    @classmethod
    def of(cls, found: ApiKey, **more: Any) -> Self:
        scope, grants = parse_rights(found.scope)
        return cls(
            id=found.id,
            name=found.name,
            scope=scope,
            grants=list(grants),
            created_at=format_time(found.created_at),
            revoked_at=format_time(found.revoked_at),
            last_used_at=format_time(found.last_used_at),
            **more,
        )


class MadeKeyDocument(KeyDocument, frozen=True):
    """A key that was just made."""

    key: Annotated[str, note("The secret to send; it is shown only here")]


class KeyListDocument(Struct, frozen=True):
    """Every key that was ever made, the oldest first; the admin key of the service is none of them."""

    keys: list[KeyDocument]
