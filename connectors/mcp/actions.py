"""The tools of a server as actions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import msgspec

from connectors.mcp.server import McpServer
from connectors.mcp.servers import McpServers
from connectors.mcp.spec import McpConnectorSpec
from connectors.mcp.tool_list import ListedTool
from connectors.openapi.names import shorten_text, to_snake_case
from durable.action import Action, Context, Idempotent, Returned
from durable.problem import DataProblem
from durable.schema_model import SchemaModel, ensure_valid_schema, make_model
from durable.wording import quote, suggest

SUMMARY_LIMIT = 120

SCHEMA_LIMIT = 256 * 1024
"""The maximum size, in bytes, of a schema of a tool."""

_COMPOSED = frozenset({"$ref", "allOf", "anyOf", "oneOf", "patternProperties", "unevaluatedProperties"})


@dataclass(frozen=True, slots=True)
class NamedTool:
    """A tool and the name of its action."""

    name: str
    tool: ListedTool

    def is_meant(self, name: str) -> bool:
        """Whether a name in the file is that of the tool, or the one that its action has by default."""
        return name in (self.tool.name, to_snake_case(self.tool.name))


def select_tools(tools: Sequence[ListedTool], spec: McpConnectorSpec) -> list[ListedTool]:
    """Return the tools that one of the patterns matches; all of them without patterns."""
    return [each for each in tools if spec.select is None or any(_matches(each, pattern) for pattern in spec.select)]


def name_tools(tools: Sequence[ListedTool], spec: McpConnectorSpec) -> list[NamedTool]:
    """Return the selected tools with the names of their actions. Of tools with equal names, the first has it."""
    named: dict[str, NamedTool] = {}
    for tool in select_tools(tools, spec):
        own = to_snake_case(tool.name)
        name = spec.rename.get(tool.name) or spec.rename.get(own) or own
        if name and name not in named:
            named[name] = NamedTool(name, tool)
    return list(named.values())


def check_tools(tools: Sequence[ListedTool], spec: McpConnectorSpec) -> Iterator[DataProblem]:
    """Warn about names in the file that no tool has (any more): an update of the server must not disable the rest."""
    for index, pattern in enumerate(spec.select or ()):
        if not any(_matches(tool, pattern) for tool in tools):
            what = f"the server has no tool {quote(pattern)}"
            yield DataProblem(("select", index), what, _suggest(pattern, tools), severity="warning")
    named = name_tools(tools, spec)
    for key, names in (("rename", spec.rename), ("tools", spec.tools)):
        for name in names:
            if not any(each.is_meant(name) for each in named):
                what = f"no selected tool of the server has the name {quote(name)}"
                yield DataProblem((key, name), what, _suggest(name, tools), is_key=True, severity="warning")
    for tool in select_tools(tools, spec):
        if tool not in [each.tool for each in named]:
            reason = (
                "has the same name as another" if to_snake_case(tool.name) else "has no name that an action can have"
            )
            what, hint = f"the tool {quote(tool.name)} {reason}", f"rename it: 'rename: {{{tool.name}: other_name}}'"
            yield DataProblem(("mcp",), what, hint, is_key=True, severity="warning")


def make_actions(
    server: McpServer, tools: Sequence[NamedTool], spec: McpConnectorSpec
) -> tuple[dict[str, Action], dict[str, str]]:
    """Return the actions by name; and why other tools are no actions, by name."""
    actions: dict[str, Action] = {}
    skipped: dict[str, str] = {}
    for each in tools:
        try:
            actions[each.name] = _make_action(server, each, spec)
        except ValueError as error:
            skipped[each.name] = f"the schema of its inputs cannot be used: {error}"
    return actions, skipped


def _make_action(server: McpServer, named: NamedTool, spec: McpConnectorSpec) -> Action:
    tool, title = named.tool, f"{server.connector}_{named.name}"
    inputs = _close_inputs(_read_schema(tool.input_schema))
    try:
        output = make_model(f"{title}_output", _read_schema(tool.output_schema)) if tool.output_schema else None
    except ValueError:
        output = None  # what the tool returns is then not checked
    idempotent = _judge(named, spec)
    return Action(
        named.name,
        partial(_call_tool, server, tool),
        make_model(title, inputs),
        output,
        on_crash="retry" if idempotent == "yes" else "park",
        summary=shorten_text(tool.description, SUMMARY_LIMIT),
        idempotent=idempotent,
    )


async def _call_tool(server: McpServer, tool: ListedTool, context: Context, input: SchemaModel) -> Returned:
    if context.gate is not None:
        await context.gate.pass_request(context)
    return await context.resource(McpServers).call(context, server, tool, input.root)


def _judge(named: NamedTool, spec: McpConnectorSpec) -> Idempotent:
    """Return whether a tool can be repeated: as the operator says, or as the server says if it is trusted."""
    for name, told in spec.tools.items():
        if named.is_meant(name):
            return told.idempotent
    is_hinted = named.tool.is_read_only or named.tool.is_idempotent
    return "yes" if spec.trust_hints and is_hinted else "no"


def _read_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of a tool as ours; raises `ValueError`."""
    if len(msgspec.json.encode(schema)) > SCHEMA_LIMIT:
        raise ValueError(f"it is larger than {SCHEMA_LIMIT // 1024} KiB")
    read = {word: part for word, part in schema.items() if word not in {"$schema", "$id"}}
    ensure_valid_schema(read)
    return read


def _close_inputs(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a mapping without other inputs than it names, unless it says that it takes them."""
    closed = {"type": "object", "properties": {}, **schema}
    return (
        closed
        if "additionalProperties" in schema or _COMPOSED & schema.keys()
        else {
            **closed,
            "additionalProperties": False,
        }
    )


def _matches(tool: ListedTool, pattern: str) -> bool:
    return fnmatchcase(tool.name, pattern) or fnmatchcase(to_snake_case(tool.name), pattern)


def _suggest(name: str, tools: Sequence[ListedTool]) -> str | None:
    return suggest(name, {tool.name for tool in tools})
