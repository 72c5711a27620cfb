"""What the documents share: kinds of fields, times, and how links are hidden in them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from durable.values import JSON


def note(text: str) -> Meta:
    """What OpenAPI says of a field."""
    return Meta(description=text)


Scope: TypeAlias = Literal["read", "start", "admin"]
"""What a key may do, each including those before it: read; start, cancel and answer runs; everything."""

KeyScope: TypeAlias = Literal[Scope, "sign"]
"""What a key is for: a scope, or to sign tokens for streams, and nothing else."""

KeyGrant: TypeAlias = Literal["answer"]
"""What a key may do beside its scope; it implies no scope. `answer`: answer what runs wait for, and see that."""

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601, in UTC."""

PageCursor: TypeAlias = Annotated[
    str | None, note("Send it as `after` to get the next page; null if this is the last one")
]

COMPONENTS = "#/components/schemas"
"""Where OpenAPI has the schemas of documents. msgspec itself knows no union of two structs."""

Redacted = TypeVar("Redacted", bound=Struct)

IsDuplicate: TypeAlias = Annotated[bool, note("Whether an earlier request with the same key started it")]


def format_time(at: int | None) -> str | None:
    """Milliseconds as ISO 8601 in UTC; None for a time that no calendar has, as a damaged row may hold."""
    if at is None:
        return None
    try:
        found = datetime.fromtimestamp(at / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def redact_document(document: Redacted, redact: Callable[[JSON], JSON]) -> Redacted:
    """A document of the same type, made of its JSON after `redact`."""
    return msgspec.convert(redact(msgspec.to_builtins(document)), type(document))
