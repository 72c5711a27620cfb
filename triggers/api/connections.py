"""Operations on connections: list them, and test one."""

import logging
import time
from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.action import ActionError
from durable.engine import Engine
from durable.language.connections import FILE
from durable.wording import quote
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.config.connection_list import describe_connections
from triggers.config.connections import Connections
from triggers.documents.connections import ConnectionListDocument, ConnectionTestDocument

log = logging.getLogger("waypost.connections")


class OneConnection(Parameters):
    connection: str = Field(description="The connection's name")


class ConnectionOperations:
    """Lists and tests connections."""

    def __init__(self, engine: Engine, connections: Connections) -> None:
        self._engine = engine
        self._connections = connections

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "GET", "/connections", self.list_connections, "read", Parameters, Nothing, {200: ConnectionListDocument}
            ),
            Operation(
                "POST",
                "/connections/{connection}/test",
                self.test_connection,
                "admin",
                OneConnection,
                Nothing,
                {200: ConnectionTestDocument},
                {409: "The connection has no test."},
            ),
        ]

    async def list_connections(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every connection: whether it can be used, and what holds its requests back."""
        return respond(ConnectionListDocument(describe_connections(self._connections, self._engine.report_gate)))

    async def test_connection(self, asked: ApiRequest[OneConnection, Nothing]) -> Response:
        """Call the action that proves that a connection works. Its request goes through the connection's limits."""
        name = asked.parameters.connection
        connector = self._connections.find_connector(name)
        if connector is None and not self._connections.is_broken(name):
            raise ApiError(404, f"there is no connection {quote(name)}; GET /api/connections lists them")
        test = self._connections.find_test(name)
        if test is None:
            what = f"the connection {quote(name)} has no test"
            raise ApiError(409, f"{what}; name an action that changes nothing under 'test' in {FILE}")
        log.info("the connection %s is tested", quote(name), extra={"by": asked.by.name})
        began = time.perf_counter()
        try:
            await self._engine.call_action(test.use, name, test.with_)
        except ActionError as error:
            message = f"{name} does not work: {error.message}"
            return respond(ConnectionTestDocument(name, False, message, error.error_class, error.code))
        message = f"{name} works: {test.use} answered in {time.perf_counter() - began:.1f} s"
        return respond(ConnectionTestDocument(name, True, message, None, None))
