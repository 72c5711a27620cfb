"""Durations and times as people write them: `30s`, `2027-01-31T09:00:00+01:00`."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DISTANCES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
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


def describe_time(at: int | None, now: int) -> str:
    """Describe a time (ms) in UTC, and how far it is from now: `14:07:31Z (in 40 s)`."""
    if at is None:
        return "an unknown time"
    try:
        moment, today = (datetime.fromtimestamp(each / 1000, UTC) for each in (at, now))
    except (ValueError, OverflowError, OSError):  # a time that no calendar has, from a damaged row
        return "an unknown time"
    clock = f"{moment:%H:%M:%S}Z" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M}Z"
    return f"{clock} ({_describe_distance((at - now) / 1000)})"


def _describe_distance(seconds: float) -> str:
    length, unit = next(((size, unit) for size, unit in _DISTANCES if abs(seconds) >= size), _DISTANCES[-1])
    number = f"{round(abs(seconds) / length)} {unit}"
    return f"in {number}" if seconds >= 0 else f"{number} ago"


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
