"""The steps of the version of a run: their definitions, and how they are nested."""

from typing import Annotated, Any

from msgspec import Struct

from durable.history.words import StepStatus
from triggers.documents.fields import note


class NameReadDocument(Struct, frozen=True):
    """A name that an expression reads."""

    name: str
    step: Annotated[str | None, note("The path of the step that it comes from, if it comes from one")]


class TemplateDocument(Struct, frozen=True):
    """A text of a step's input with expressions in it."""

    place: Annotated[str, note("Where in the input it stands: `json.sku`")]
    template: str
    value: Annotated[Any, note("What it became in this run; null if that is not known, or too large for a page")]
    reads: list[NameReadDocument]


class StepDefinitionDocument(Struct, frozen=True):
    """What the version of a run says of a step."""

    path: str
    text: Annotated[str, note("Its resolved definition as YAML: every default and policy is filled in")]
    file: Annotated[str | None, note("The file that defines it; null unless the file still means the same")]
    line: Annotated[int | None, note("Its line in this file")]
    templates: list[TemplateDocument]


class GraphBranchDocument(Struct, frozen=True):
    """A sequence of steps in a block."""

    label: str
    when: Annotated[str | None, note("The condition of a case")]
    taken: Annotated[bool, note("Whether the run has reached any of its steps")]
    steps: "list[GraphStepDocument]"


class GraphStepDocument(Struct, frozen=True):
    """A step with what is inside of it. Of a step in a loop, `counts` has all items."""

    path: Annotated[str, note("Its path in the definition, without the numbers of items")]
    use: str
    condition: Annotated[str | None, note("Its `if`")]
    over: Annotated[str | None, note("What a loop evaluates: its items, or when it ends")]
    status: Annotated[StepStatus, note("The most urgent one, if it was reached several times")]
    counts: Annotated[dict[StepStatus, int], note("How often it was reached, by status")]
    branches: list[GraphBranchDocument]


class PipelineGraphDocument(Struct, frozen=True):
    """The steps of the version of a pipeline that is served, as they are nested."""

    pipeline: str
    version: str
    steps: list[GraphStepDocument]
    on_failure: list[GraphStepDocument]
    omitted: Annotated[int, note("How many steps are left out: a graph has 500 at most")]


class RunGraphDocument(Struct, frozen=True):
    """The steps of the version of a run as they are nested, and how far the run came."""

    run: str
    steps: list[GraphStepDocument]
    on_failure: list[GraphStepDocument]
    omitted: Annotated[int, note("How many steps are left out: a graph has 500 at most")]
