"""MCP servers that are child processes: their environment, and what they write to standard error."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TextIO, TypeAlias

from mcp.client.stdio import StdioServerParameters, stdio_client

from connectors.mcp.server import ServerAddress
from durable.action import Context
from durable.wording import make_printable

log = logging.getLogger("waypost.mcp")

TransportStreams: TypeAlias = tuple[Any, Any]
"""The messages from a server, and those to it; the library does not export their types."""

LINE_LIMIT = 2_000
"""The maximum number of characters of a line that is logged."""


@asynccontextmanager
async def open_process(name: str, address: ServerAddress, context: Context) -> AsyncIterator[TransportStreams]:
    """Start a server and connect to it; at the end, stop it and what it started. It inherits the variables that the
    library considers safe (PATH, HOME, USER …) and nothing else; `address` has the others. Raises `OSError`."""
    command, *arguments = address.command
    parameters = StdioServerParameters(
        command=command, args=arguments, env=dict(address.env), cwd=address.folder, encoding_error_handler="replace"
    )
    async with _open_log(name, context) as stderr, stdio_client(parameters, errlog=stderr) as streams:
        stderr.close()  # the process has its own copy, whose end is the end of what is logged
        yield streams


@asynccontextmanager
async def _open_log(name: str, context: Context) -> AsyncIterator[TextIO]:
    """Make a file for standard error, the lines of which are logged without secrets."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    with os.fdopen(writing, "w", encoding="utf-8") as file:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
        )
        logging_lines = asyncio.create_task(_log_lines(name, reader, context))
        try:
            yield file
        finally:
            file.close()
            transport.close()  # closes the pipe as well
            logging_lines.cancel()
            await asyncio.wait([logging_lines])


async def _log_lines(name: str, reader: asyncio.StreamReader, context: Context) -> None:
    rest = b""
    while piece := await reader.read(16 * LINE_LIMIT):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            _log_line(name, line, context)
        if len(rest) > 4 * LINE_LIMIT:
            _log_line(name, rest, context)
            rest = b""
    _log_line(name, rest, context)


def _log_line(name: str, line: bytes, context: Context) -> None:
    text = line.decode(errors="replace").rstrip()
    if not text:
        return
    redacted = context.redactor.redact_text(text) if context.redactor else text
    log.info("%s: %s", name, make_printable(redacted[:LINE_LIMIT]))
