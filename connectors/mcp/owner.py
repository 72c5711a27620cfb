"""The owner of the sessions with one MCP server: one task, which opens a session when it is needed and closes it.

A session that ends is opened again for the next call; one that cannot be opened is tried again after a back-off.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from connectors.mcp.server import McpServer
from connectors.mcp.signals import SessionSignals
from connectors.mcp.tool_list import ListedTool, ToolList, ToolListRefused, store_tool_list
from durable.action import ActionError, Context, Returned
from durable.lazy import ExtraMissing, load_module
from durable.trace import HEADER, make_traceparent
from durable.values import JSON

log = logging.getLogger("waypost.mcp")

CALLS_LIMIT = 20
"""The maximum number of concurrent calls in one session."""

SHORTEST_REST, LONGEST_REST = 1.0, 60.0
"""The seconds after which a server that could not be reached is tried again: after one failure, and after many."""

CLOSE_SECONDS = 15.0
"""The time that a session has to close. A server that ignores its end is killed after four seconds."""


class OpenSession(Protocol):
    """A session in which tools are called; raises `ActionError`."""

    async def list_tools(self) -> Sequence[ListedTool]: ...

    async def call_tool(
        self, tool: ListedTool, arguments: Mapping[str, JSON], meta: Mapping[str, JSON]
    ) -> Returned: ...


class SessionOwner:
    """Owns the sessions with a server, as one connection reaches it. `context` has that connection."""

    def __init__(self, server: McpServer, context: Context) -> None:
        self._server = server
        self._context = context
        self._connection = _read_connection(context)
        self._turns = asyncio.Semaphore(CALLS_LIMIT)
        self._wanted = asyncio.Event()
        self._signals = SessionSignals()
        self._ready: asyncio.Future[OpenSession] | None = None
        self._failures = 0
        self._rests_until = 0.0
        self._calls = 0
        self._is_retired = self._is_closed = False
        self.task = asyncio.create_task(self._own(), name=f"MCP server {server.connector}")

    @property
    def source(self) -> str:
        return self._server.source

    def serves(self, server: McpServer, context: Context) -> bool:
        """Whether this is the server, reached with the connection of a context."""
        return server.source == self.source and _read_connection(context) == self._connection

    async def call(self, context: Context, tool: ListedTool, arguments: Mapping[str, JSON]) -> Returned:
        """Call a tool and return its output; raises `ActionError`."""
        self._calls += 1
        try:
            with context.waiting(f"its turn at the MCP server {self._server.connector}"):
                await self._turns.acquire()
            try:
                session = await self._open(context)
                context.begin_sending()
                returned = await session.call_tool(tool, arguments, _make_meta(context))
            finally:
                self._turns.release()
        finally:
            self._calls -= 1
            self._leave_if_idle()
        self._failures = 0
        return returned

    async def refresh_tools(self, context: Context) -> None:
        """Let the server list its tools, and store them; raises `ActionError`."""
        was_open = self._is_open
        session = await self._open(context)
        if was_open:
            await self._keep_tools(await session.list_tools())

    def retire(self) -> None:
        """Serve the calls in progress, and end then."""
        self._is_retired = True
        self._leave_if_idle()

    async def close(self) -> None:
        """End now, and wait until the session is closed."""
        self._leave()
        await asyncio.wait([self.task], timeout=CLOSE_SECONDS)
        if not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])

    def _leave_if_idle(self) -> None:
        if self._is_retired and not self._calls:
            self._leave()

    def _leave(self) -> None:
        self._is_closed = True
        self._signals.end()
        self._wanted.set()

    @property
    def _is_open(self) -> bool:
        """Whether there is a session, or it is being opened."""
        if self._ready is None or self._signals.is_over:
            return False
        return not self._ready.done() or self._ready.exception() is None

    async def _open(self, context: Context) -> OpenSession:
        """Return the session; opens one if there is none. Raises `ActionError`, and then no tool was called."""
        if not self._is_open:
            self._ensure_rested()
            self._signals = SessionSignals()
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.add_done_callback(self._note_start)
            self._wanted.set()
        assert self._ready is not None
        with context.waiting(f"the MCP server {self._server.connector}"):
            return await asyncio.shield(self._ready)

    def _ensure_rested(self) -> None:
        rest = self._rests_until - time.monotonic()
        if rest > 0:
            what = f"the MCP server {self._server.connector} failed, and is tried again in {rest:.0f} s"
            raise ActionError(
                what, error_class="network", code="server_unavailable", ending="not_sent", retry_after=rest
            )

    def _note_start(self, ready: "asyncio.Future[OpenSession]") -> None:
        """Count starts since the last successful call, so that a server that starts and ends at once rests too."""
        self._failures += 1
        if ready.exception() or self._failures > 1:
            self._rests_until = time.monotonic() + min(SHORTEST_REST * 2 ** (self._failures - 1), LONGEST_REST)

    async def _own(self) -> None:
        """Open and close one session after the other, until closed."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                if self._is_closed:
                    return
                await self._run_session()
        finally:
            if self._ready and not self._ready.done():
                self._ready.set_exception(_refuse(f"the MCP server {self._server.connector} is being stopped"))

    async def _run_session(self) -> None:
        signals, ready = self._signals, self._ready
        assert ready is not None
        try:
            address = self._server.fill_address(self._context.connection)
            # The library takes a second to import, which no other run should wait for.
            module = await asyncio.to_thread(load_module, "connectors.mcp.session", extra="mcp")
        except ActionError as error:
            ready.set_exception(error)
        except ExtraMissing as missing:
            ready.set_exception(_refuse(str(missing)))
        else:
            await module.run_session(self._server, address, self._context, signals, ready, self._keep_tools)
        signals.end()

    async def _keep_tools(self, tools: Sequence[ListedTool]) -> None:
        name, path = self._server.connector, self._server.tool_list
        if path is None:
            return
        try:
            if await asyncio.to_thread(store_tool_list, path, ToolList(self._server.source, tools)):
                log.info("the MCP server %s has %d tools", name, len(tools))
        except ToolListRefused as refused:
            log.warning("the MCP server %s: %s", name, refused)


def _make_meta(context: Context) -> dict[str, str]:
    """Return what a call says of itself: the span of its attempt, under the key that MCP reserves for it."""
    if not context.run:
        return {}
    place = context.key, context.path, context.attempt
    return {HEADER: make_traceparent(context.run, *place, context.traceparent)}


def _read_connection(context: Context) -> tuple[JSON, Mapping[str, object]]:
    """Return the values of a connection. Its class changes each time the connector's file is loaded."""
    return context.connection.model_dump(mode="json") if context.connection else None, context.auth


def _refuse(message: str) -> ActionError:
    return ActionError(message, error_class="network", code="server_unavailable", ending="not_sent")
