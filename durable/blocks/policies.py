"""The policies of steps that use a connector's action: retries and timeouts."""

from typing import Annotated, Any, Self

import msgspec
from pydantic import Field
from pydantic import model_validator as validator

from durable.action import ErrorClass
from durable.durations import Duration, Timeout, parse_duration
from durable.retry import RetryPolicy
from durable.spec_model import SpecModel, Whole


class RetrySpec(SpecModel, title="Retry"):
    """How often, when and after which errors an attempt is repeated."""

    max_attempts: Annotated[Whole, Field(ge=1, le=1_000)] = Field(3, description="Attempts in all; 1: no retry")
    min_delay: Duration | None = Field(None, description="The first delay; default 1s")
    max_delay: Duration | None = Field(None, description="What a delay grows to at most; default 5m")
    factor: Annotated[float, Field(strict=True, ge=1, le=10, allow_inf_nan=False)] | None = Field(
        None, description="By how much each delay is longer than the one before; default 2"
    )
    errors: Annotated[tuple[ErrorClass, ...], Field(min_length=1)] | None = Field(
        None,
        description="The classes of error worth repeating; default: all but client, auth and invalid",
    )

    @validator(mode="after")
    def _delays_are_in_order(self) -> Self:
        if self.min_delay and self.max_delay and parse_duration(self.min_delay) > parse_duration(self.max_delay):
            raise ValueError("'min_delay' is longer than 'max_delay'; exchange them")
        return self


class DefaultsSpec(SpecModel, title="Defaults"):
    """What steps that use a connector's action have unless they say otherwise; `undo` has it too."""

    timeout: Timeout | None = Field(None, description="Of one attempt; default 30s")
    retry: RetrySpec | None = Field(None, description="When attempts are repeated; a step's own keys go first")


def merge_policies(default: RetrySpec | None, own: RetrySpec | None) -> RetryPolicy:
    """A step's own `retry` over that of `defaults`, key by key."""
    given: dict[str, Any] = {}
    for policy in filter(None, (default, own)):
        given |= policy.model_dump(exclude_unset=True, exclude_none=True)
    for name in ("min_delay", "max_delay"):
        if name in given:
            given[name] = parse_duration(given[name])
    return msgspec.convert(given, RetryPolicy)
