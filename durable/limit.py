"""Rates (`50/m`), and the limits of a connection."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from durable.durations import format_duration, parse_duration
from durable.spec_model import SpecModel

_RATE = re.compile(r"([1-9][0-9]{0,8})/([0-9]*[a-z]+)")
_PERIODS = {1_000: "a second", 60_000: "a minute", 3_600_000: "an hour", 86_400_000: "a day"}


class Rate(NamedTuple):
    """At most this number in every period (ms)."""

    number: int
    period: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `50/m`, `10/s` or `100/10s`; raises `ValueError`, which says what to write instead."""
        fault = f"{text[:40]!r} is not a rate; write a number and a period: 50/m, 10/s, 1000/h or 100/10s"
        match = _RATE.fullmatch(text)
        if not match:
            raise ValueError(fault)
        try:
            period = parse_duration(match[2] if match[2][0].isdigit() else f"1{match[2]}")
        except ValueError:
            raise ValueError(fault) from None
        if not period:
            raise ValueError(fault)
        return cls(int(match[1]), period)

    def describe(self, noun: str = "request") -> str:
        """Describe the rate: `50 requests a minute`."""
        each = _PERIODS.get(self.period) or f"in {format_duration(self.period)}"
        return f"{self.number} {noun}{'' if self.number == 1 else 's'} {each}"


def _parse_rates(value: object) -> object:
    """Read a rate, a list of rates, or `none`."""
    if value == "none":
        return ()
    given = [value] if isinstance(value, str) else value
    if isinstance(given, list | tuple):
        return tuple(Rate.parse(each) if isinstance(each, str) else each for each in given)
    raise ValueError("must be a rate, such as 50/m, 10/s or 1000/h, a list of rates, or none")


def _read_none(value: object) -> object:
    return None if value == "none" else value


_RATE_SCHEMA = {"type": "string", "pattern": "^([1-9][0-9]{0,8}/[0-9]*(ms|s|m|h|d)|none)$", "examples": ["50/m"]}

Rates: TypeAlias = Annotated[
    tuple[Rate, ...],
    BeforeValidator(_parse_rates),
    WithJsonSchema({"anyOf": [_RATE_SCHEMA, {"type": "array", "items": _RATE_SCHEMA, "maxItems": 4}]}),
    Field(max_length=4),
]
AtOnce: TypeAlias = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=10_000)] | None,
    BeforeValidator(_read_none),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10_000}, {"const": "none"}]}),
]


class Limit(SpecModel):
    """The limits of each connection of a connector: `limit: {rate: 50/m, at_once: 5}`."""

    rate: Rates = Field(
        (),
        description="The maximum number of requests in any period of this length, such as 50/m, 10/s or 1000/h, or a "
        "list of such rates; none for no limit",
    )
    at_once: AtOnce = Field(None, description="The maximum number of concurrent attempts; none for no limit")
    breaker: Literal["on", "off"] = Field(
        "on", description="Whether requests are held back while the service is failing, except for one that tests it"
    )

    @classmethod
    def parse(cls, *rates: str, at_once: int | None = None) -> Self:
        """Make a limit in Python code: `Limit.parse("50/m", at_once=5)`. Raises `ValueError`."""
        given: dict[str, Any] = {"rate": rates} if rates else {}
        return cls(**given, **({"at_once": at_once} if at_once is not None else {}))

    def override(self, other: "Limit") -> "Limit":
        """Return this limit with the values that the other one sets."""
        return self.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})

    def describe(self) -> Sequence[str]:
        """Describe the limits for people: `50 requests a minute`, `5 at once`."""
        at_once = [f"{self.at_once} at once"] if self.at_once is not None else []
        return [*(rate.describe() for rate in self.rate), *at_once]


NO_LIMIT = Limit()
"""Requests are held back only while the service asks for it or is failing."""
