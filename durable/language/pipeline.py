"""The pipeline language as models: every key that a file may hold, and what it means.

The models give the JSON Schema that editors use and the reference documentation. They check shapes; `load` checks what
needs the whole file or the installed connectors. Durations stay text here: `parse_duration` reads them.
"""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from durable.blocks.policies import DefaultsSpec
from durable.durations import Timeout
from durable.history.words import Overflow
from durable.language.steps import AnyStep
from durable.spec_model import Condition, Identifier, SpecModel, Whole


class ConcurrencySpec(SpecModel, title="Concurrency"):
    """Limits how many runs of the pipeline are active at once."""

    key: str | None = Field(None, description="Runs with the same key share one limit; default: all runs share it")
    limit: Annotated[Whole, Field(ge=1, le=100_000)] = Field(1, description="How many runs may be active at once")
    overflow: Overflow = Field(
        "queue", description="What happens to a run above the limit: it waits, is skipped, or cancels the oldest"
    )


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
    timeout: Timeout | None = Field(None, description="The time limit of the whole run, including waits; default 90d")
    defaults: DefaultsSpec | None = Field(None, description="Default policies for steps that use a connector's action")
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=1)] = Field(description="The steps, performed in this order")
    outputs: dict[str, JsonValue] | None = Field(None, description="The outputs of the run, by name")
    on_failure: tuple[AnyStep, ...] | None = Field(None, description="Steps to perform after the run has failed")
