"""A session with an MCP server, from its start to its end, in one task. Needs the extra `mcp`.

The library's contexts have to be entered and left by the same task; other tasks call tools in between.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from connectors.mcp.http_transport import GuardedTransport
from connectors.mcp.results import RESULT, read_result
from connectors.mcp.server import McpServer, ServerAddress
from connectors.mcp.signals import SessionSignals
from connectors.mcp.stdio import TransportStreams, open_process
from connectors.mcp.tool_list import ListedTool
from connectors.wire.client import RESPONSE_LIMIT
from durable import __version__
from durable.action import ActionError, Context, ErrorClass, Returned
from durable.values import JSON

log = logging.getLogger("waypost.mcp")

START_SECONDS = 60.0
"""The time that a server has to start, to agree on a version, and to list its tools."""

LAST_SECONDS = 2.0
"""The time that the calls in progress have to end when their session does."""

PAGES_LIMIT = 100
"""The maximum number of pages of a list of tools."""

TakeTools = Callable[[Sequence[ListedTool]], Awaitable[None]]
"""Takes the tools that the server listed."""


class McpSession:
    """Calls tools."""

    def __init__(self, name: str, client: Client, signals: SessionSignals, http: GuardedTransport | None) -> None:
        self._name = name
        self._client = client
        self._signals = signals
        self._http = http
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def list_tools(self) -> list[ListedTool]:
        """Return all tools of the server; raises `ActionError`."""
        try:
            return [_read_tool(tool) for tool in await self._list_pages()]
        except MCPError as error:
            raise self._explain(error) from None

    async def _list_pages(self) -> list[types.Tool]:
        found: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(PAGES_LIMIT):
            page = await self._client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise MCPError(types.INTERNAL_ERROR, f"it lists its tools on more than {PAGES_LIMIT} pages")

    async def call_tool(self, tool: ListedTool, arguments: Mapping[str, JSON], meta: Mapping[str, JSON]) -> Returned:
        """Call a tool and return its output; raises `ActionError`. `meta` is what the call says of itself."""
        params = types.CallToolRequestParams.model_validate(
            {"name": tool.name, "arguments": dict(arguments), "_meta": meta}
        )
        self._calls += 1
        self._idle.clear()
        try:
            result = await self._client.session.send_request(types.CallToolRequest(params=params), RESULT)
        except MCPError as error:
            raise self._explain(error) from None
        except ValidationError as error:
            what = f"the result of the tool {tool.name} is malformed: {error.error_count()} problems"
            raise ActionError(what, error_class="invalid", code="malformed_response") from None
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()
        return read_result(tool, result)

    async def wait_until_idle(self) -> None:
        """Wait until no call is in progress."""
        await self._idle.wait()

    def _explain(self, error: MCPError) -> ActionError:
        """Return an error of the protocol as the error of an attempt."""
        if failure := self._http and self._http.take_failure(error.data):
            return failure
        where, code = f"the MCP server {self._name}", error.code
        if code == types.CONNECTION_CLOSED:
            message = f"{where}: the connection ended before the answer"
            return ActionError(message, error_class="network", code="answer_lost", ending="unknown")
        if code == types.HEADER_MISMATCH:
            self._signals.note_change()
        classes: dict[int, ErrorClass] = {
            types.INVALID_PARAMS: "invalid",
            types.METHOD_NOT_FOUND: "invalid",
            types.PARSE_ERROR: "invalid",
            types.URL_ELICITATION_REQUIRED: "client",
            types.REQUEST_TIMEOUT: "timeout",
        }
        return ActionError(
            f"{where} answered with the error {code}: {error.message[:500]}",
            error_class=classes.get(code, "server"),
            code=str(code),
            ending="unknown" if code == types.REQUEST_TIMEOUT else "answered",
            details={"data": error.data} if error.data is not None else None,
        )


async def run_session(
    server: McpServer,
    address: ServerAddress,
    context: Context,
    signals: SessionSignals,
    ready: "asyncio.Future[McpSession]",
    take_tools: TakeTools,
) -> None:
    """Connect to a server, list its tools, and keep the session open until `signals` ends it. Sets `ready`, to an
    `ActionError` if the server cannot be reached."""
    http = GuardedTransport(context, address.headers, signals.end) if address.url else None
    try:
        with anyio.fail_after(START_SECONDS) as start:
            async with _open_client(server.connector, address, context, signals, http) as client:
                session = McpSession(server.connector, client, signals, http)
                await take_tools(await session.list_tools())
                start.deadline = math.inf
                ready.set_result(session)
                while await signals.wait_for_change():
                    await take_tools(await session.list_tools())
                with anyio.move_on_after(LAST_SECONDS):  # a call that failed with the session learns why
                    await session.wait_until_idle()
    except Exception as error:  # noqa: BLE001  # a transport may raise anything, in groups too
        caught = _explain_start(server.connector, error, http)
        if ready.done():
            log.log(logging.DEBUG if signals.is_over else logging.WARNING, "%s", caught.message)
        else:
            ready.set_exception(caught)


@asynccontextmanager
async def _open_client(
    name: str, address: ServerAddress, context: Context, signals: SessionSignals, http: GuardedTransport | None
) -> AsyncIterator[Client]:
    async def take_message(message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            signals.note_change()

    client = Client(
        _watch_end(_open_streams(name, address, context, http), signals),
        message_handler=take_message,
        client_info=types.Implementation(name="waypost", version=__version__),
        cache=None,
    )
    async with client:
        yield client


@asynccontextmanager
async def _open_streams(
    name: str, address: ServerAddress, context: Context, http: GuardedTransport | None
) -> AsyncIterator[TransportStreams]:
    if http is None:
        async with open_process(name, address, context) as streams:
            yield streams
        return
    async with (
        httpx2.AsyncClient(transport=http, timeout=None, trust_env=False) as client,
        streamable_http_client(address.url, http_client=client, max_sse_event_size=RESPONSE_LIMIT) as streams,
    ):
        yield streams


@asynccontextmanager
async def _watch_end(opening: Any, signals: SessionSignals) -> AsyncIterator[TransportStreams]:
    """Tell `signals` when the server's stream ends, which the library reports only to calls."""
    async with opening as (reading, writing):
        yield _WatchedStream(reading, signals), writing


class _WatchedStream:
    """The messages of a server. Behaves as the library's stream."""

    def __init__(self, stream: Any, signals: SessionSignals) -> None:
        self._stream = stream
        self._signals = signals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> "_WatchedStream":
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            self._signals.end()
            raise

    async def __aenter__(self) -> "_WatchedStream":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)


def _read_tool(tool: types.Tool) -> ListedTool:
    hints = tool.annotations or types.ToolAnnotations()
    return ListedTool(
        tool.name,
        tool.description or tool.title or "",
        tool.input_schema,
        tool.output_schema,
        hints.read_only_hint,
        hints.idempotent_hint,
    )


def _explain_start(name: str, error: BaseException, http: GuardedTransport | None) -> ActionError:
    """Return why a server cannot be reached. No tool was called."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where, more = f"the MCP server {name}", "its standard error is in the log"
    kind: ErrorClass
    match error:
        case ActionError():
            return ActionError(
                f"{where}: {error.message}",
                error_class=error.error_class,
                code=error.code,
                ending="not_sent",
                retry_after=error.retry_after,
                details=error.details,
            )
        case MCPError() if failure := http and http.take_failure(error.data):
            return _explain_start(name, failure, None)
        case MCPError(code=types.CONNECTION_CLOSED):
            kind, what = "network", f"it ended before it was ready{'' if http else f'; {more}'}"
        case MCPError():
            kind, what = "server", f"it answered with the error {error.code}: {error.message[:500]}"
        case TimeoutError():
            kind, what = "timeout", f"it was not ready within {START_SECONDS:g} s{'' if http else f'; {more}'}"
        case FileNotFoundError() | PermissionError() | NotADirectoryError():
            kind, what = "invalid", f"it cannot be started: {error.strerror}: {error.filename}"
        case OSError():
            kind, what = "network", f"it cannot be started: {error.strerror or error}"
        case _:
            kind, what = "server", f"it does not speak MCP as expected: {type(error).__name__}: {str(error)[:500]}"
    return ActionError(f"{where}: {what}", error_class=kind, code="server_unavailable", ending="not_sent")
