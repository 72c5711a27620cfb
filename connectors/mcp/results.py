"""The result of a tool as the output of an action, or as its error."""

import re
from typing import Annotated, Any, TypeAlias

import mcp_types as types
from pydantic import Discriminator, Tag, TypeAdapter

from connectors.mcp.tool_list import ListedTool
from durable.action import ActionError, InvalidOutput, Returned
from durable.values import JSON
from durable.wording import make_printable

BINARY_LIMIT = 1024 * 1024
"""The maximum number of base64 characters of an image, a sound or a binary resource in an output."""

MESSAGE_LIMIT = 500
"""The maximum number of characters of a tool's own words in a message; the details have all of them."""

_INVALID = re.compile(r"\s*MCP error -3260[12]:")
"""How servers report an unknown tool and arguments that do not fit their schema."""


def _name_result(value: Any) -> str:
    is_open = isinstance(value, dict) and value.get("resultType") == "input_required"
    return "input_required" if is_open else "complete"


ToolResult: TypeAlias = types.CallToolResult | types.InputRequiredResult

RESULT: TypeAdapter[ToolResult] = TypeAdapter(
    Annotated[
        Annotated[types.CallToolResult, Tag("complete")] | Annotated[types.InputRequiredResult, Tag("input_required")],
        Discriminator(_name_result),
    ]
)


def read_result(tool: ListedTool, result: ToolResult) -> Returned:
    """Return the output of a tool: its structured content if it has some, otherwise `text` and `content`. Raises
    `ActionError` if the tool failed."""
    if isinstance(result, types.InputRequiredResult):
        what = f"the tool {tool.name} asks for more input during its call, which Waypost does not support"
        raise ActionError(what, error_class="client", code="input_required")
    parts = [_read_part(part) for part in result.content]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    if result.is_error:
        raise _explain_error(tool, text, parts)
    if result.structured_content is not None:
        structured: JSON = result.structured_content
        return structured
    output: JSON = {"text": text, "content": [dict(part) for part in parts]}
    if tool.output_schema is not None:
        return InvalidOutput(output, f"the tool {tool.name} declares an output but returned none")
    return output


def _explain_error(tool: ListedTool, text: str, parts: list[dict[str, Any]]) -> ActionError:
    words = make_printable(" ".join(text[: 2 * MESSAGE_LIMIT].split()))
    shown = words if len(words) <= MESSAGE_LIMIT else f"{words[: MESSAGE_LIMIT - 1]}…"
    is_invalid = _INVALID.match(text) is not None
    return ActionError(
        f"the tool {tool.name} failed: {shown or 'it gives no reason'}",
        error_class="invalid" if is_invalid else "client",
        code="invalid_arguments" if is_invalid else "tool_error",
        details={"content": list[JSON](parts)},
    )


def _read_part(part: types.ContentBlock) -> dict[str, Any]:
    match part:
        case types.TextContent():
            return {"type": "text", "text": part.text}
        case types.ImageContent() | types.AudioContent():
            return {"type": part.type, "mime_type": part.mime_type, **_bound_binary(part.data)}
        case types.ResourceLink():
            return {"type": "resource_link", "uri": str(part.uri), "name": part.name, "mime_type": part.mime_type}
        case types.EmbeddedResource(resource=types.TextResourceContents() as found):
            return {"type": "resource", "uri": str(found.uri), "mime_type": found.mime_type, "content": found.text}
        case types.EmbeddedResource(resource=found):
            assert isinstance(found, types.BlobResourceContents)
            about = {"type": "resource", "uri": str(found.uri), "mime_type": found.mime_type}
            return {**about, **_bound_binary(found.blob)}


def _bound_binary(data: str) -> dict[str, JSON]:
    """Return base64 with its size in bytes; without the data if it is too long for a run's history."""
    size = len(data) * 3 // 4 - data.count("=", -2)
    return {"size": size, "data": data if len(data) <= BINARY_LIMIT else None}
