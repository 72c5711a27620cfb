"""How long things are kept, and what was removed."""

from typing import Annotated, Self

from msgspec import Struct

from durable.durations import format_duration
from durable.retention import FOREVER, RetentionPolicy
from triggers.documents.fields import Time, note

Kept = Annotated[str, note("A duration such as `30d`, or `forever`")]


class RetentionPolicyDocument(Struct, frozen=True):
    """How long ended runs are kept."""

    pipeline: Annotated[str | None, note("Null: the default, for pipelines whose file says nothing about it")]
    completed: Kept
    failed: Kept
    cancelled: Kept
    max_runs: Annotated[int | None, note("How many ended runs are kept at most; null means any number")]

    @classmethod
    def of(cls, pipeline: str | None, policy: RetentionPolicy) -> Self:
        ages = (format_age(policy.completed), format_age(policy.failed), format_age(policy.cancelled))
        return cls(pipeline, *ages, policy.max_runs)


class RemovalDocument(Struct, frozen=True):
    """What a pass of retention removed."""

    at: Time | None
    removed: Annotated[dict[str, int], note("Numbers of rows by noun: `runs`, `deliveries`, `events` …")]


class RetentionDocument(Struct, frozen=True):
    """How long things are kept."""

    default: RetentionPolicyDocument
    pipelines: Annotated[list[RetentionPolicyDocument], note("Pipelines with a policy of their own")]
    deliveries: Annotated[str, note("How long requests to webhooks are kept")]
    events: Annotated[str, note("How long events that started no run are kept")]
    audit: Annotated[str, note("How long rows of the audit log are kept")]
    last: Annotated[RemovalDocument | None, note("The last pass that removed something, or the last of the hour")]
    oldest_run_at: Annotated[Time | None, note("When the oldest run that is kept was created")]


def format_age(age: int | None) -> str:
    """An age in ms as people write it."""
    return FOREVER if age is None else format_duration(age)
