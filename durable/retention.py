"""How long ended runs are kept, and what arrived: ages as people write them, and the policy of a pipeline."""

from typing import Annotated, Protocol

import msgspec
from pydantic import BeforeValidator, Field, WithJsonSchema

from durable.durations import parse_duration
from durable.history.words import EndStatus

FOREVER = "forever"


class RetentionPolicy(msgspec.Struct, frozen=True):
    """How long runs are kept after their end, in ms by status; None keeps them for ever. `max_runs`: how many ended
    runs of the pipeline are kept at most, the newest; None means any number."""

    completed: int | None = parse_duration("30d")
    failed: int | None = parse_duration("90d")
    cancelled: int | None = parse_duration("30d")
    max_runs: int | None = None

    def find_age(self, status: EndStatus) -> int | None:
        match status:
            case "completed":
                return self.completed
            case "failed":
                return self.failed
            case "cancelled":
                return self.cancelled


KEEP_ALL = RetentionPolicy(None, None, None)


class RetentionPolicies(Protocol):
    """The policies of pipelines. One that is not served has the defaults, unless its file may be one with errors: then
    all its runs are kept."""

    def find_policy(self, pipeline: str) -> RetentionPolicy: ...


def parse_age(text: str) -> int | None:
    """Convert a duration to ms, and `forever` to None; raises `ValueError`, which says what to write instead."""
    return None if text == FOREVER else parse_duration(text)


def _check_age(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    _parse(text)
    return text


def _parse(value: object) -> int | None:
    try:
        return parse_age(str(value))
    except ValueError as error:
        raise ValueError(f"{error}, or '{FOREVER}'") from None


_PATTERN = f"^([0-9]{{1,12}}(ms|s|m|h|d)|{FOREVER})$"

AgeText = Annotated[
    str, BeforeValidator(_check_age), Field(json_schema_extra={"pattern": _PATTERN}, examples=["30d", FOREVER])
]
"""A duration as text, or `forever`."""

Age = Annotated[
    int | None,
    BeforeValidator(_parse),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["30d", FOREVER]}),
]
"""A duration or `forever` that is written as text and kept in milliseconds, or as None."""
