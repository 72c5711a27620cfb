"""A small MCP server. As a program, it speaks over standard input and output.

Its arguments are a folder, in which it leaves a file of its process id and one for each call of `hang`, and more names
of tools that it has.
"""

import asyncio
import os
import sys
from pathlib import Path

import mcp_types as types
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

PNG = b"\x89PNG canary"


class Sum(BaseModel):
    sum: int


class Meeting:
    """Lets everyone pass when enough have arrived."""

    def __init__(self) -> None:
        self.present = 0
        self.most = 0
        self.is_full = asyncio.Event()

    async def join(self, wanted: int) -> int:
        self.present += 1
        self.most = max(self.most, self.present)
        if self.present >= wanted:
            self.is_full.set()
        await self.is_full.wait()
        self.present -= 1
        return self.most


def make_server(folder: Path, more: list[str]) -> MCPServer:
    server = MCPServer("small")
    meeting = Meeting()

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
    def add_numbers(a: int, b: int = 1) -> Sum:
        """Add two numbers.

        This is a second paragraph.
        """
        return Sum(sum=a + b)

    @server.tool(name="get-environment")
    def get_environment() -> dict[str, str]:
        """List the environment variables."""
        print("secret of the day:", os.environ.get("TOKEN"), file=sys.stderr, flush=True)
        return dict(os.environ)

    @server.tool(structured_output=False)
    def fail(why: str) -> str:
        raise ToolError(why)

    @server.tool(structured_output=False)
    def draw(size: int) -> list[str | Image]:
        """Draw something."""
        return ["a drawing", Image(data=PNG.ljust(size, b"."), format="png")]

    @server.tool(annotations=types.ToolAnnotations(idempotent_hint=True))
    async def hang(name: str) -> str:
        """Hang at the first call of a name."""
        file = folder / f"hang-{name}"
        if file.exists():
            return "released"
        file.touch()
        await asyncio.Event().wait()
        return ""

    @server.tool()
    async def meet(wanted: int) -> int:
        """Wait until so many calls are in progress."""
        return await meeting.join(wanted)

    @server.tool(structured_output=False)
    async def grow(context: Context, name: str) -> str:
        server.add_tool(fail, name=name, structured_output=False)
        await context.session.send_tool_list_changed()
        return name

    @server.tool()
    async def get_span(context: Context) -> list[str | None]:
        """Return the `traceparent` of the call, and that of the request that brought it."""
        asked = context.request_context
        request = asked.request
        span = (asked.meta or {}).get("traceparent")
        return [None if span is None else str(span), request.headers.get("traceparent") if request else None]

    for name in more:
        server.add_tool(fail, name=name, structured_output=False)
    return server


if __name__ == "__main__":
    own = Path(sys.argv[1])
    (own / f"pid-{os.getpid()}").touch()
    names = own / "more"
    make_server(own, [*sys.argv[2:], *(names.read_text().split() if names.exists() else [])]).run("stdio")
