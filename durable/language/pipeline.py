"""The pipeline language as models: every key that a file may hold, and what it means.

The models give the JSON Schema that editors use and the reference documentation. They check shapes; `load` checks what
needs the whole file or the installed connectors. Durations stay text here: `parse_duration` reads them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from durable.blocks.policies import DefaultsSpec
from durable.durations import Timeout
from durable.language.steps import AnyStep
from durable.spec_model import Condition, Identifier, SpecModel, Whole


class ConcurrencySpec(SpecModel, title="Concurrency"):
    """How many runs of the pipeline may work at once."""

    key: str | None = Field(None, description="Runs with the same key are counted together; default: all of them")
    limit: Annotated[Whole, Field(ge=1, le=100_000)] = Field(1, description="Runs at once")
    overflow: Literal["queue", "skip", "cancel_oldest"] = Field(
        "queue", description="What becomes of a run above the limit"
    )


class TriggerSpec(SpecModel, title="TriggerSpec"):
    """What starts the pipeline by itself."""

    id: Identifier = Field(description="The trigger's name, unique in the file")
    use: str = Field(description="The kind of trigger: webhook, schedule …")
    with_: dict[str, JsonValue] | None = Field(None, alias="with", description="The trigger's settings")
    when: Condition | None = Field(
        None, description="An expression over `trigger`; what does not fulfil it is filtered"
    )
    inputs: dict[str, JsonValue] | None = Field(None, description="The run's inputs, made from `trigger`")


class PipelineSpec(SpecModel):
    """One YAML file: a named list of steps, and what starts it."""

    id: Identifier = Field("", description="The pipeline's name; default: the file's")
    description: str | None = Field(None, description="What it does, for people")
    triggers: tuple[TriggerSpec, ...] | None = Field(
        None, description="What starts it by itself; every pipeline can be started over the API as well"
    )
    inputs: dict[str, Any] | None = Field(
        None, description="JSON Schemas by name, checked before a run starts; one with a default may be left out"
    )
    concurrency: ConcurrencySpec | None = Field(None, description="How many runs may work at once")
    timeout: Timeout | None = Field(None, description="Of the whole run, waiting included; default 90d")
    defaults: DefaultsSpec | None = Field(None, description="Policies of the steps that use a connector's action")
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=1)] = Field(description="What is performed, in this order")
    outputs: dict[str, JsonValue] | None = Field(None, description="What the run answers with")
    on_failure: tuple[AnyStep, ...] | None = Field(None, description="Performed when the run has failed")
