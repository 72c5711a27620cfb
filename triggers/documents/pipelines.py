"""The files of pipelines that a service serves."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Struct

from triggers.documents.fields import note

PipelineStatus: TypeAlias = Literal["serving", "serving the version before", "disabled"]


class PipelineLineDocument(Struct, frozen=True):
    """A pipeline's file."""

    id: str
    file: str
    status: PipelineStatus
    version: Annotated[str | None, note("The hash of its meaning; null if nothing is served")]
    webhooks: Annotated[list[str], note("The paths of its webhooks")]
    schedules: Annotated[list[str], note("When its schedules fire")]
    events: Annotated[list[str], note("The types of the events that start it")]
    problems: Annotated[list[str], note("What is wrong with the file, each with its place")]


class PipelineDocument(PipelineLineDocument, frozen=True):
    """A pipeline's file, and what a run of it is given."""

    inputs: Annotated[dict[str, Any] | None, note("The JSON Schema of each input; null if anything is taken")]


class PipelinesDocument(Struct, frozen=True):
    """Every pipeline's file."""

    pipelines: list[PipelineLineDocument]
