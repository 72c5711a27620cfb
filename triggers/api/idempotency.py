"""Idempotency keys: the first request with a key is carried out, and an equal one gets the result of the first."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from pydantic import Field, StringConstraints

from durable.durations import parse_duration
from durable.units import DedupeKey
from triggers.api.operation import HEADER

LIFETIME = parse_duration("7d")
"""How long (ms) a key stays taken."""

IdempotencyKey: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=255)]
IdempotencyHeader: TypeAlias = Annotated[
    IdempotencyKey | None, Field(alias="Idempotency-Key", json_schema_extra=HEADER)
]
"""The header of a request that has a key."""


def make_dedupe_key(scope: str, key: str | None, given: Mapping[str, Any], at: int) -> DedupeKey | None:
    """Return the dedupe key of a request at a time (ms); None if it has no idempotency key. `given` is what the same
    key stands for: another request with it is a conflict.

    No scope of a trigger begins with `#`, which pipeline files cannot spell. So no key collides with one of a trigger.
    """
    if key is None:
        return None
    fingerprint = hashlib.sha256(msgspec.json.encode(given, order="deterministic")).hexdigest()
    return DedupeKey(f"#{scope}", key, at + LIFETIME, fingerprint)
