"""The types of values in requests: how each is written, what it becomes, and its JSON Schema."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from durable.clock import now
from durable.durations import Milliseconds, parse_duration
from durable.trace import parse_traceparent
from triggers.api.operation import HEADER

PAGE_LIMIT = 1_000
"""What a page holds at most."""

LONGEST_WAIT = 60_000
"""Milliseconds for which an answer is held back at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _check_wait(milliseconds: int) -> int:
    if milliseconds > LONGEST_WAIT:
        raise ValueError(f"should be {LONGEST_WAIT // 1_000}s at most")
    return milliseconds


def _parse_moment(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('should be text, such as "2030-01-31T18:00:00Z"')
    text = value.upper().replace(" ", "+")  # a query turns the plus of an offset into a space
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or "T" not in text:
        raise ValueError("should be a date and time such as 2030-01-31T18:00:00Z")
    if moment.tzinfo is None:
        raise ValueError("has no zone: end it with Z for UTC, or with an offset such as +02:00")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _parse_past(value: object) -> int:
    if isinstance(value, str) and value[:1].isdigit() and value[-1:] in "smhd":
        return now() - parse_duration(value)
    return _parse_moment(value)


def _parse_number(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise ValueError("should be a whole number")
    return int(value)


Moment: TypeAlias = Annotated[
    int,
    BeforeValidator(_parse_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T18:00:00Z"]}),
]
"""An ISO 8601 time with its zone, kept as milliseconds."""

PastMoment: TypeAlias = Annotated[
    int, BeforeValidator(_parse_past), WithJsonSchema({"type": "string", "examples": ["2030-01-31T18:00:00Z", "24h"]})
]
"""An ISO 8601 time with its zone, or how long ago it was: `90m`, `24h`, `7d`. Kept as milliseconds."""

Traceparent: TypeAlias = Annotated[
    str | None,
    BeforeValidator(parse_traceparent),
    Field(
        description="The span of the sender, to which the run then belongs (W3C Trace Context)",
        json_schema_extra=HEADER,
    ),
]
"""The header `traceparent`. An invalid one is ignored, as the standard says."""

WaitDuration: TypeAlias = Annotated[Milliseconds, AfterValidator(_check_wait)]
"""A duration of a minute at most."""

Count: TypeAlias = Annotated[int, Field(ge=0), BeforeValidator(_parse_number)]
"""A whole number from 0, as a query writes it."""

Limit: TypeAlias = Annotated[int, Field(ge=1, le=PAGE_LIMIT), BeforeValidator(_parse_number)]
"""How many things a page holds."""

RowLimit: TypeAlias = Annotated[int, Field(ge=1, le=200), BeforeValidator(_parse_number)]
"""How many rows of an outline a page holds: a browser shows 200 in 10 ms."""

Tag: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A word that is put on runs."""

Reason: TypeAlias = Annotated[str, StringConstraints(max_length=1_000)]
"""Why a person asks for something, for those who read it later."""

RunId: TypeAlias = Annotated[str, StringConstraints(pattern="^run_[0-9a-z]{26}$")]
"""The id of a run, as a cursor."""

WaitCursor: TypeAlias = Annotated[str, StringConstraints(pattern=r"^run_[0-9a-z]{26}(/.{0,1000})?$")]
"""The id of a run, perhaps with the path of one of its steps, as a cursor."""

DeliveryId: TypeAlias = Annotated[str, StringConstraints(pattern="^dlv_[0-9a-z]{26}$")]
"""The id of a delivery, as a cursor."""

EventId: TypeAlias = Annotated[str, StringConstraints(pattern="^evt_[0-9a-z]{26}$")]
"""The id of an event, as a cursor."""

BulkId: TypeAlias = Annotated[str, StringConstraints(pattern="^blk_[0-9a-z]{26}$")]
"""The id of a bulk, as a cursor."""

ItemId: TypeAlias = Annotated[str, StringConstraints(pattern="^(run|dlv)_[0-9a-z]{26}$")]
"""The id of a run or a delivery, as a cursor."""
