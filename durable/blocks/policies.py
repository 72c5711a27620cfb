"""`retry` and `defaults`: the policies of steps that use a connector's action."""

from collections.abc import Iterator
from typing import Annotated, Any, Self

import msgspec
from pydantic import Field
from pydantic import model_validator as validator

from durable.action import ErrorClass
from durable.durations import Duration, Timeout, parse_duration
from durable.problem import DataProblem
from durable.retry import RetryPolicy
from durable.spec_model import Mapped, SpecModel, Whole
from durable.values import JSON


class RetrySpec(SpecModel, title="Retry"):
    """How often, when and after which errors an attempt is retried."""

    max_attempts: Annotated[Whole, Field(ge=1, le=1_000)] = Field(
        3, description="How many attempts are made in total; 1 means no retry"
    )
    min_delay: Duration | None = Field(None, description="The delay before the first retry; default 1s")
    max_delay: Duration | None = Field(None, description="The longest delay between attempts; default 5m")
    factor: Annotated[float, Field(strict=True, ge=1, le=10, allow_inf_nan=False)] | None = Field(
        None, description="The factor by which each delay exceeds the previous one; default 2"
    )
    errors: Annotated[tuple[ErrorClass, ...], Field(min_length=1)] | None = Field(
        None,
        description="The error classes to retry; default: all but client, auth and invalid",
    )

    @validator(mode="after")
    def _delays_are_in_order(self) -> Self:
        if self.min_delay and self.max_delay and parse_duration(self.min_delay) > parse_duration(self.max_delay):
            raise ValueError("'min_delay' is longer than 'max_delay'; swap them")
        return self


class DefaultsSpec(SpecModel, title="Defaults"):
    """Default policies for steps that use a connector's action, and for their `undo`."""

    timeout: Timeout | None = Field(None, description="The time limit of one attempt; default 30s")
    retry: RetrySpec | None = Field(None, description="The retry policy; keys that a step sets itself take precedence")


def merge_policies(default: RetrySpec | None, own: RetrySpec | None) -> RetryPolicy:
    """Merge a step's own `retry` with that of `defaults`, key by key; the step's keys win."""
    given: dict[str, Any] = {}
    for policy in filter(None, (default, own)):
        given |= policy.model_dump(exclude_unset=True, exclude_none=True)
    for name in ("min_delay", "max_delay"):
        if name in given:
            given[name] = parse_duration(given[name])
    return msgspec.convert(given, RetryPolicy)


def check_delays(own: Mapped, default: Mapped) -> Iterator[DataProblem]:
    """Check the delays of a `retry` together with those of `defaults`; the model checks each of them alone."""
    policy = {**default, **own}
    shortest, longest = (_try_parse_duration(policy.get(key)) for key in ("min_delay", "max_delay"))
    is_mixed = ("min_delay" in own) != ("max_delay" in own)
    if is_mixed and shortest is not None and longest is not None and shortest > longest:
        own_key, other = ("min_delay", "max_delay") if "min_delay" in own else ("max_delay", "min_delay")
        word = "longer" if own_key == "min_delay" else "shorter"
        what = f"'{own_key}' is {word} than the '{other}' of 'defaults', which is {default.get(other)}"
        yield DataProblem((own_key,), what, f"give '{other}' here as well")
    first = _try_parse_duration(own.get("min_delay"))
    if "max_delay" not in policy and first is not None and first > RetryPolicy().max_delay:
        what = "'min_delay' is longer than 'max_delay', which is 5m by default"
        yield DataProblem(("min_delay",), what, "give 'max_delay' here as well", severity="warning")


def _try_parse_duration(value: JSON) -> int | None:
    """Return a duration in milliseconds; None for anything else, which the model rejects."""
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        return None
