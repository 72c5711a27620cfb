"""API keys."""

from typing import Annotated, Any, Self, cast

from msgspec import Struct

from durable.units import ApiKey
from triggers.documents.fields import KeyScope, Time, format_time, note


class KeyDocument(Struct, frozen=True):
    """A key, without what its holder presents."""

    id: str
    name: str
    scope: Annotated[KeyScope, note("`sign`: it signs tokens for streams, and is worth nothing else")]
    created_at: Time | None
    revoked_at: Time | None
    last_used_at: Annotated[Time | None, note("Its last use, to within ten minutes; null if it was never used")]

    @classmethod
    def of(cls, found: ApiKey, **more: Any) -> Self:
        return cls(
            id=found.id,
            name=found.name,
            scope=cast(KeyScope, found.scope),
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
