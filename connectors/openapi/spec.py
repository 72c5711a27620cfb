"""The keys of a connector's file that imports an OpenAPI document."""

from typing import Annotated, TypeAlias

from pydantic import Field, JsonValue
from pydantic.types import StringConstraints

from connectors.yaml_form.spec import (
    ActionRulesSpec,
    ConnectionFieldsSpec,
    ConnectorTestSpec,
    HttpSpec,
    Text,
)
from durable.spec_model import Identifier, SpecModel

Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class SelectSpec(SpecModel, title="Select"):
    """Which operations become actions: those that one of the patterns matches. `*` stands for any text."""

    names: tuple[Pattern, ...] = Field((), description="Names of actions: [issues_create, pulls_*]")
    tags: tuple[Pattern, ...] = Field((), description="Tags of operations")
    paths: tuple[Pattern, ...] = Field((), description="Paths as the document writes them: [/repos/*]")


class ImportedInputSpec(SpecModel, title="ImportedInput"):
    """Additions to an input of the document."""

    about: Text | None = Field(None, description="What it is; default: the document's description")
    secret: bool | None = Field(None, description="Whether it is a credential, which is never shown")
    options: JsonValue = Field(None, description="The choices for it: what another action lists")


class ImportedActionSpec(ActionRulesSpec, title="ImportedAction"):
    """Additions to an operation of the document."""

    about: Text | None = Field(None, description="What it does, in a sentence; default: the document's summary")
    inputs: dict[str, ImportedInputSpec] = Field(
        default_factory=dict, description="More about some of the inputs, by name"
    )


class ImportSpec(SpecModel, title="OpenAPI import"):
    """A connector whose actions are the operations of an OpenAPI document."""

    id: Identifier = Field(description="The part of `use:` before the dot; the name of the file")
    openapi: Text = Field(description="The path of the document, JSON or YAML, relative to this file")
    about: Text | None = Field(None, description="What the service is, in a sentence; default: the document's title")
    select: SelectSpec | None = Field(None, description="Which operations become actions; default: all")
    rename: dict[str, Identifier] = Field(default_factory=dict, description="New names of actions by their old ones")
    connection: ConnectionFieldsSpec | None = Field(
        None, description="What a connection consists of, in addition to what the document says"
    )
    http: HttpSpec = Field(
        default_factory=HttpSpec, description="What all requests share, beside what the document says"
    )
    actions: dict[Identifier, ImportedActionSpec] = Field(
        default_factory=dict, description="More about some of the actions, by name"
    )
    tests: tuple[ConnectorTestSpec, ...] = Field((), description="Exchanges with the service, and the expected results")
