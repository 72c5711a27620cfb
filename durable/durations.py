"""Durations and times as people write them: `30s`, `2027-01-31T09:00:00+01:00`."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST = 3_650 * _UNITS["d"]
_DURATION = r"[0-9]{1,12}(ms|s|m|h|d)"


def parse_duration(text: str) -> int:
    """Convert `500ms 30s 5m 2h 7d` to milliseconds; raises `ValueError`, which says what to write instead."""
    if not re.fullmatch(_DURATION, text):
        if re.fullmatch(r"[0-9]+", text):
            raise ValueError(f"'{text}' has no unit; write {text}s for seconds, or ms, m, h, d")
        raise ValueError(
            f"'{text[:40]}' is not a duration; write a whole number and one unit: 500ms, 30s, 5m, 2h or 7d"
        )
    number = text.rstrip("mshd")
    milliseconds = int(number) * _UNITS[text[len(number) :]]
    if milliseconds > _LONGEST:
        raise ValueError(f"'{text}' is longer than ten years; write 3650d at most")
    return milliseconds


def format_duration(milliseconds: int) -> str:
    """Format a duration in the largest unit of which it is a whole number."""
    unit, size = next((unit, size) for unit, size in reversed(_UNITS.items()) if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


def parse_moment(text: str) -> int:
    """Convert an ISO 8601 time with a zone to milliseconds; raises `ValueError`, which says what to write instead."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text[:40]}' is not a time; write it as in 2027-01-31T09:00:00+01:00") from None
    if moment.tzinfo is None:
        raise ValueError(f"'{text[:40]}' has no zone; add Z, or an offset such as +01:00")
    return round(moment.timestamp() * 1000)


def _check_duration(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    parse_duration(text)
    return text


def _check_positive(text: str) -> str:
    if not parse_duration(text):
        raise ValueError(f"'{text}' is too short; write at least 1ms")
    return text


Duration = Annotated[
    str,
    BeforeValidator(_check_duration),
    Field(json_schema_extra={"pattern": f"^{_DURATION}$"}, examples=["30s", "5m"]),
]
"""A duration as text: an integer and one of the units ms, s, m, h, d."""

Timeout = Annotated[Duration, AfterValidator(_check_positive)]
"""A duration that is not zero."""


def _parse_milliseconds(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('should be text with a unit, such as "500ms", "30s", "5m", "2h" or "7d"')
    return parse_duration(value)


Milliseconds = Annotated[
    int,
    BeforeValidator(_parse_milliseconds),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$", "examples": ["30s", "5m"]}),
]
"""A duration that is written as text and kept in milliseconds."""
