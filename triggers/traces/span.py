"""A span, before it is encoded for a receiver."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

Attributes: TypeAlias = Mapping[str, str | int | bool]
SpanKind: TypeAlias = Literal["internal", "client", "consumer"]


class SpanPlace(msgspec.Struct, frozen=True):
    """The ids of a span and of its trace, in hex."""

    trace: str
    span: str


class SpanEvent(msgspec.Struct, frozen=True):
    """Something that happened at a moment (ms) of a span."""

    name: str
    at: int
    attributes: Attributes


class Span(msgspec.Struct, frozen=True):
    """What a run did from `start` to `end` (ms). `error` says in a few words why it failed; it contains no data."""

    place: SpanPlace
    parent: str | None
    name: str
    kind: SpanKind
    start: int
    end: int
    attributes: Attributes
    links: tuple[SpanPlace, ...] = ()
    events: tuple[SpanEvent, ...] = ()
    error: str | None = None
