"""Operations that document connectors: list them, describe one, describe one of its actions."""

import asyncio
from functools import partial
from typing import Any

from pydantic import Field
from starlette.responses import Response

from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.config.connections import Connections
from triggers.config.describe_connector import describe_action, describe_connector, ensure_known, list_connectors
from triggers.config.folder import Folder
from triggers.config.uses import list_uses
from triggers.documents.connectors import ActionDocument, ConnectorDocument, ConnectorListDocument


class OneConnector(Parameters):
    connector: str = Field(description="The connector's name, as in `use`")


class KnownConnector(OneConnector):
    search: str = Field("", description="Only the actions that contain these words", max_length=200)


class OneAction(OneConnector):
    action: str = Field(description="The action's name")


class ConnectorOperations:
    """Documents connectors. They are loaded when they are first described, which takes a thread."""

    def __init__(self, folder: Folder, connections: Connections) -> None:
        self._folder = folder
        self._connections = connections

    def operations(self) -> list[Operation[Any, Any]]:
        one, action = "/connectors/{connector}", "/connectors/{connector}/actions/{action}"
        return [
            Operation(
                *("GET", "/connectors", self.list_connectors, "read", Parameters, Nothing, {200: ConnectorListDocument})
            ),
            Operation("GET", one, self.get_connector, "read", KnownConnector, Nothing, {200: ConnectorDocument}),
            Operation("GET", action, self.get_action, "read", OneAction, Nothing, {200: ActionDocument}),
        ]

    async def list_connectors(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every connector: those that are installed, and those of the config folder."""
        return respond(ConnectorListDocument(list_connectors(self._folder.connectors)))

    async def get_connector(self, asked: ApiRequest[KnownConnector, Nothing]) -> Response:
        """Describe a connector: its actions, the fields of a connection, an example, and the pipelines that use it."""
        name, search = asked.parameters.connector, asked.parameters.search
        await asyncio.to_thread(ensure_known, self._folder.connectors, name)
        pipelines = sorted(
            definition.id
            for definition in self._folder.definitions
            if any(each.use.startswith(f"{name}.") for each in list_uses(definition))
        )
        names = self._connections.list_names(name)
        describe = partial(describe_connector, self._folder.connectors, name, names, search, pipelines)
        return respond(await asyncio.to_thread(describe))

    async def get_action(self, asked: ApiRequest[OneAction, Nothing]) -> Response:
        """Describe an action: its inputs, its output, whether it can be repeated, and a step as an example."""
        name, use = asked.parameters.connector, f"{asked.parameters.connector}.{asked.parameters.action}"
        await asyncio.to_thread(ensure_known, self._folder.connectors, use)
        names = self._connections.list_names(name)
        return respond(await asyncio.to_thread(describe_action, self._folder.connectors, use, names))
