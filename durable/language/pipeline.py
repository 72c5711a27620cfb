"""The pipeline language as models: every key that a file may hold, and what it means.

The models give the JSON Schema that editors use and the reference documentation. They check shapes; `load` checks what
needs the whole file or the installed connectors. Durations stay text here: `parse_duration` reads them.
"""

from typing import Annotated, Any

import msgspec
from pydantic import Field, JsonValue

from durable.blocks.policies import DefaultsSpec
from durable.durations import Timeout
from durable.history.words import Overflow
from durable.language.steps import AnyStep
from durable.retention import AgeText, RetentionPolicy, parse_age
from durable.spec_model import Condition, Identifier, SpecModel, Whole


class ConcurrencySpec(SpecModel, title="Concurrency"):
    """Limits how many runs of the pipeline are active at once."""

    key: str | None = Field(None, description="Runs with the same key share one limit; default: all runs share it")
    limit: Annotated[Whole, Field(ge=1, le=100_000)] = Field(1, description="How many runs may be active at once")
    overflow: Overflow = Field(
        "queue", description="What happens to a run above the limit: it waits, is skipped, or cancels the oldest"
    )


class RetentionSpec(SpecModel, title="Retention"):
    """How long the pipeline's ended runs are kept. What is not given is as in settings.toml."""

    completed: AgeText | None = Field(
        None, description="How long completed runs are kept after their end, or `forever`; default 30d"
    )
    failed: AgeText | None = Field(
        None, description="How long failed runs are kept after their end, or `forever`; default 90d"
    )
    cancelled: AgeText | None = Field(
        None, description="How long cancelled runs are kept after their end, or `forever`; default 30d"
    )
    max_runs: Annotated[Whole, Field(ge=0, le=10_000_000)] | None = Field(
        None, description="The maximum number of ended runs, of which the newest are kept; default: unlimited"
    )

    def fill_in(self, defaults: RetentionPolicy) -> RetentionPolicy:
        """Return the policy, with the defaults for what is not given."""
        given = {
            name: parse_age(age)
            for name in ("completed", "failed", "cancelled")
            if (age := getattr(self, name)) is not None
        }
        if self.max_runs is not None:
            given["max_runs"] = self.max_runs
        return msgspec.structs.replace(defaults, **given)


class TriggerSpec(SpecModel, title="TriggerSpec"):
    """A trigger: what starts the pipeline."""

    id: Identifier = Field(description="The trigger's name, unique in the file")
    use: str = Field(description="The kind of trigger: webhook, schedule or event")
    with_: dict[str, JsonValue] | None = Field(None, alias="with", description="The trigger's settings")
    when: Condition | None = Field(
        None, description="An expression that reads `trigger`; requests and events for which it is false start no run"
    )
    inputs: dict[str, JsonValue] | None = Field(
        None, description="The inputs of the run; expressions in them read `trigger`"
    )


class PipelineSpec(SpecModel):
    """A pipeline file: a list of steps and the triggers that start it."""

    id: Identifier = Field("", description="The name of the pipeline; default: the name of the file")
    description: str | None = Field(None, description="What the pipeline does, for people who read it")
    triggers: tuple[TriggerSpec, ...] | None = Field(
        None, description="What starts the pipeline automatically; it can also be started through the API"
    )
    inputs: dict[str, Any] | None = Field(
        None, description="JSON Schemas by name, checked before a run starts; an input with a default is optional"
    )
    concurrency: ConcurrencySpec | None = Field(None, description="How many runs may be active at once")
    retention: RetentionSpec | None = Field(None, description="How long ended runs are kept; not part of the version")
    timeout: Timeout | None = Field(None, description="The time limit of the whole run, including waits; default 90d")
    defaults: DefaultsSpec | None = Field(None, description="Default policies for steps that use a connector's action")
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=1)] = Field(description="The steps, performed in this order")
    outputs: dict[str, JsonValue] | None = Field(None, description="The outputs of the run, by name")
    on_failure: tuple[AnyStep, ...] | None = Field(None, description="Steps to perform after the run has failed")
