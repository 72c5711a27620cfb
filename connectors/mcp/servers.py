"""The MCP servers that a service uses, shared by all runs."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Self

from connectors.mcp.owner import SessionOwner
from connectors.mcp.server import McpServer
from connectors.mcp.tool_list import ListedTool
from durable.action import Context, Returned
from durable.values import JSON

log = logging.getLogger("waypost.mcp")


class McpServers:
    """Has an owner for each server and connection. The composition root creates it and closes it."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, str | None], SessionOwner] = {}
        self._retired: set[SessionOwner] = set()

    async def call(
        self, context: Context, server: McpServer, tool: ListedTool, arguments: Mapping[str, JSON]
    ) -> Returned:
        """Call a tool of a server with the connection of an attempt; raises `ActionError`."""
        return await self._find_owner(server, context).call(context, tool, arguments)

    async def refresh_tools(self, context: Context, server: McpServer) -> None:
        """Let a server list its tools, and store them; raises `ActionError`."""
        await self._find_owner(server, context).refresh_tools(context)

    def keep(self, sources: Collection[tuple[str, str]]) -> None:
        """End the sessions with servers that are not among these, given by connector and source."""
        for key, owner in list(self._owners.items()):
            if (key[0], owner.source) not in sources:
                self._retire(key)

    async def close(self) -> None:
        """End all sessions."""
        for owner in [*self._owners.values(), *self._retired]:
            owner.retire()
        for owner in [*self._owners.values(), *self._retired]:
            await owner.close()
        self._owners.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _find_owner(self, server: McpServer, context: Context) -> SessionOwner:
        key = server.connector, context.connection_name
        owner = self._owners.get(key)
        if owner is not None and (owner.task.done() or not owner.serves(server, context)):
            self._retire(key)
            owner = None
        if owner is None:
            own = logging.LoggerAdapter(log, {})
            owner = SessionOwner(server, replace(context, run="", path="mcp", log=own, gate=None, timer=None))
            self._owners[key] = owner
        return owner

    def _retire(self, key: tuple[str, str | None]) -> None:
        owner = self._owners.pop(key)
        self._retired.add(owner)
        owner.task.add_done_callback(lambda _: self._retired.discard(owner))
        owner.retire()
