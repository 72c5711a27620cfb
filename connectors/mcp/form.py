"""The form `mcp`: a file that names an MCP server, every tool of which is an action."""

from collections.abc import Mapping
from pathlib import Path

from connectors.mcp.load import load_server_file
from durable.action import LoadedConnector
from durable.lazy import ensure_extra

SCAFFOLD = """\
# A program that speaks MCP over its standard input and output, with its arguments: [npx, -y, "@acme/mcp-server"].
# It gets PATH, HOME and what 'env' lists, and no secrets.
mcp:
  command: [my-mcp-server]
  # env: {{API_TOKEN: "{{{{ connection.token }}}}"}}
# Or a server that speaks MCP over HTTP; its connections in connections.yaml say how requests are signed.
# mcp: {{url: https://mcp.example.com/mcp}}

# Without 'select', every tool is an action. `waypost connector show {name}` lists them.
# select: [get_*, search]
# rename: {{get_sum: add}}

# A tool that may have an effect is not repeated after a crash, unless you know that it can be.
# tools: {{echo: {{idempotent: yes}}}}
"""


class McpForm:
    """Reads files that name MCP servers."""

    def load(self, path: str, data: bytes, memory: str | None = None, /) -> LoadedConnector:
        ensure_extra("mcp", "mcp")
        return load_server_file(data, path, Path(memory) if memory else None)

    def scaffold(self, name: str, /) -> Mapping[str, str]:
        return {f"{name}.yaml": SCAFFOLD.format(name=name)}

    def make_schema(self) -> None:
        return None


FORM = McpForm()
