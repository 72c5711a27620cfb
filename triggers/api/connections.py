"""Operations on connections: list them, test one, and log one in and out."""

import logging
import time
from functools import partial
from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.action import ActionError
from durable.engine import Engine
from durable.language.connections import FILE, explain_missing
from durable.wording import quote
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.config.connection_list import describe_connections
from triggers.config.folder import Folder
from triggers.config.uses import list_uses
from triggers.documents.connections import (
    BegunLoginDocument,
    ConnectionDocument,
    ConnectionListDocument,
    ConnectionTestDocument,
    LoginDocument,
    LogoutDocument,
)
from triggers.documents.fields import format_time
from triggers.logins.logins import Logins
from triggers.not_found import ConnectionNotFound

log = logging.getLogger("waypost.connections")


class OneConnection(Parameters):
    connection: str = Field(description="The connection's name")


class ConnectionOperations:
    """Lists and tests connections, and logs them in and out."""

    def __init__(self, engine: Engine, folder: Folder, logins: Logins) -> None:
        self._engine = engine
        self._folder = folder
        self._connections = logins.connections
        self._logins = logins

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
            Operation(
                "GET",
                "/connections/{connection}",
                self.get_connection,
                "read",
                OneConnection,
                Nothing,
                {200: ConnectionDocument},
            ),
            Operation(
                "POST",
                "/connections/{connection}/login",
                self.begin_login,
                "admin",
                OneConnection,
                Nothing,
                {200: BegunLoginDocument},
                {409: "The connection needs no login or cannot be used, or there is no store key"},
            ),
            Operation(
                "POST",
                "/connections/{connection}/logout",
                self.log_out,
                "admin",
                OneConnection,
                Nothing,
                {200: LogoutDocument},
            ),
        ]

    async def list_connections(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List every connection: whether it can be used, and what holds its requests back."""
        return respond(ConnectionListDocument(self.describe()))

    async def get_connection(self, asked: ApiRequest[OneConnection, Nothing]) -> Response:
        """Get one connection, and the state of its login."""
        name = asked.parameters.connection
        self._ensure_known(name)
        return respond(next(each for each in self.describe() if each.name == name))

    async def begin_login(self, asked: ApiRequest[OneConnection, Nothing]) -> Response:
        """Begin a login with OAuth 2.0. A person opens the `url` and permits the access; the service then sends the
        browser to the `redirect_url`, which completes the login. It replaces a login that is pending."""
        name = asked.parameters.connection
        self._ensure_known(name)
        login = await self._logins.begin(name, asked.by.name)
        authorization, expires_at = login.authorization, format_time(login.expires_at)
        return respond(BegunLoginDocument(name, authorization.url, authorization.redirect_url, expires_at))

    async def log_out(self, asked: ApiRequest[OneConnection, Nothing]) -> Response:
        """Delete the tokens of a connection, and revoke them if the service supports that. Also for a connection that
        was removed from the file."""
        name = asked.parameters.connection
        return respond(LogoutDocument(name, *await self._logins.log_out(name, asked.by.name)))

    def describe(self) -> list[ConnectionDocument]:
        """Every connection, as its document."""
        logins = self._logins
        used = {each.id: list(list_uses(each)) for each in self._folder.definitions}

        def find_pipelines(name: str) -> list[str]:
            return sorted(id for id, uses in used.items() if any(name in each.connections for each in uses))

        return describe_connections(
            logins.connections,
            logins.grants.find_login_problem,
            self._engine.report_gate,
            partial(_describe_login, logins),
            find_pipelines,
            logins.grants.report_token,
        )

    def _ensure_known(self, name: str) -> None:
        if self._connections.find_connector(name) is None and not self._connections.is_broken(name):
            raise ConnectionNotFound(name)

    async def test_connection(self, asked: ApiRequest[OneConnection, Nothing]) -> Response:
        """Call the action that tests a connection. The connection's limits apply to its request."""
        name = asked.parameters.connection
        self._ensure_known(name)
        test = self._connections.find_test(name)
        if test is None and self._connections.is_broken(name):
            fault = explain_missing(name, is_broken=True)
            raise ApiError(409, f"{fault.message}; {fault.hint}")
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


def _describe_login(logins: Logins, name: str) -> LoginDocument | None:
    login = logins.find(name)
    return LoginDocument(login.status, login.message, format_time(login.expires_at)) if login else None
