"""The keys of a connector's file that imports an OpenAPI document."""

from typing import Annotated, TypeAlias

from pydantic import Field
from pydantic.types import StringConstraints

from durable.spec_model import Identifier, SpecModel

Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class SelectSpec(SpecModel, title="Select"):
    """Which operations become actions: those that one of the patterns matches. `*` stands for any text."""

    names: tuple[Pattern, ...] = Field((), description="Names of actions: [issues_create, pulls_*]")
    tags: tuple[Pattern, ...] = Field((), description="Tags of operations")
    paths: tuple[Pattern, ...] = Field((), description="Paths as the document writes them: [/repos/*]")


class ImportSpec(SpecModel, title="OpenAPI import"):
    """A connector whose actions are the operations of an OpenAPI document."""

    id: Identifier = Field(description="The part of `use:` before the dot; the name of the file")
    openapi: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="The path of the document, JSON or YAML, relative to this file"
    )
    about: str | None = Field(None, description="What the service is, in a sentence; default: the document's title")
    select: SelectSpec | None = Field(None, description="Which operations become actions; default: all")
    rename: dict[str, Identifier] = Field(default_factory=dict, description="New names of actions by their old ones")
