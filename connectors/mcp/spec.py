"""The keys of a connector's file that names an MCP server."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.types import StringConstraints

from connectors.yaml_form.spec import ConnectionFieldsSpec, HeaderValue, Text
from durable.limit import Limit
from durable.spec_model import Identifier, SpecModel

Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class McpServerSpec(SpecModel, title="McpServer"):
    """How the server is reached: exactly one of command and url."""

    command: tuple[Text, ...] | None = Field(
        None,
        min_length=1,
        description="A program that speaks MCP over its standard input and output, with its arguments; it runs in the "
        "folder of this file",
    )
    env: dict[str, HeaderValue] = Field(
        default_factory=dict,
        description="Environment variables of the program, in addition to PATH, HOME, USER, LOGNAME, SHELL and TERM; "
        "reads `connection`",
    )
    url: Text | None = Field(
        None, description="The URL of a server that speaks MCP over HTTP; reads `connection` at its beginning"
    )
    headers: dict[str, HeaderValue] = Field(
        default_factory=dict, description="Headers of every request to the URL; read `connection`"
    )


class ToolSpec(SpecModel, title="Tool"):
    """Settings of a tool."""

    idempotent: Literal["yes", "no"] = Field(description="Whether it can be repeated without a second effect")


class McpConnectorSpec(SpecModel, title="MCP connector"):
    """A connector whose actions are the tools of an MCP server."""

    id: Identifier = Field(description="The part of `use:` before the dot; the name of the file")
    mcp: McpServerSpec = Field(description="The server")
    about: str | None = Field(None, description="What the server is for, in a sentence")
    connection: ConnectionFieldsSpec | None = Field(None, description="What a connection consists of")
    limit: Limit | None = Field(None, description="The limits of each connection, for all runs together")
    select: tuple[Pattern, ...] | None = Field(
        None, min_length=1, description="Which tools become actions, by patterns such as get_*; default: all"
    )
    rename: dict[str, Identifier] = Field(default_factory=dict, description="New names of actions by their old ones")
    tools: dict[str, ToolSpec] = Field(default_factory=dict, description="More about some of the tools, by name")
    trust_hints: bool = Field(
        False,
        description="Whether the server's hints about its tools (read-only, idempotent) decide if they can be repeated",
    )
