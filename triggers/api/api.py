"""The API: a list of every operation, the routes made of it, and how a request is answered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from durable.engine import Engine
from durable.journal.journal import Journal
from durable.wording import quote
from triggers.api.about import AboutOperations
from triggers.api.access import Access
from triggers.api.audit import AuditOperations
from triggers.api.bulks import BulkOperations
from triggers.api.calls import OperationCalls
from triggers.api.connections import ConnectionOperations
from triggers.api.connectors import ConnectorOperations
from triggers.api.deliveries import DeliveryOperations
from triggers.api.document import DocumentOperations
from triggers.api.events import EventOperations
from triggers.api.examples import ExampleOperations
from triggers.api.find import FindOperations
from triggers.api.keys import KeyOperations
from triggers.api.operation import Operation
from triggers.api.overview import OverviewOperations
from triggers.api.pipelines import PipelineOperations
from triggers.api.problem import ApiError, make_api_error
from triggers.api.queues import QueueOperations
from triggers.api.repeats import RepeatOperations
from triggers.api.request import read
from triggers.api.retention import RetentionOperations
from triggers.api.runs import RunOperations
from triggers.api.schedules import ScheduleOperations
from triggers.api.secrets import SecretOperations
from triggers.api.sessions import SessionOperations
from triggers.api.starts import StartOperations
from triggers.api.steps import StepOperations
from triggers.api.streams import StreamOperations
from triggers.api.triggered import TriggerOperations
from triggers.api.unknown_paths import UnknownPathOperations
from triggers.api.versions import VersionOperations
from triggers.api.waits import WaitOperations
from triggers.audit import AuditLog, Caller
from triggers.bulks.bulks import Bulks
from triggers.config.folder import Folder
from triggers.http.body import BodyLimits
from triggers.instance import Instance
from triggers.keys import Keys
from triggers.logins.logins import Logins
from triggers.realtime.realtime import Realtime
from triggers.realtime.socket import SocketEndpoint
from triggers.repeats.replays import Replays
from triggers.schedules.schedules import Schedules
from triggers.secret_store import SecretStore
from triggers.sessions.entrance import Entrance
from triggers.settings import Settings
from triggers.webhooks.webhooks import Webhooks

CROSS_ORIGIN = Middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_methods=["GET"],
    allow_headers=["Authorization", "Last-Event-ID"],
    max_age=86_400,
)
"""Lets pages of every origin follow streams. They bring a token; no cookie counts here."""


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The parts of a service that operations read and act on. `waits_url`: where links to waits are answered."""

    settings: Settings
    instance: Instance
    engine: Engine
    journal: Journal
    folder: Folder
    schedules: Schedules
    webhooks: Webhooks
    bulks: Bulks
    replays: Replays
    logins: Logins
    secret_store: SecretStore
    now: Callable[[], int]
    bounds: BodyLimits
    keys: Keys
    entrance: Entrance
    waits_url: str
    realtime: Realtime
    audit: AuditLog


def _list_operations(parts: ApiParts) -> Iterator[Operation[Any, Any]]:
    engine, journal, folder, now = parts.engine, parts.journal, parts.folder, parts.now
    secrets, logins, realtime, entrance = parts.secret_store.secrets, parts.logins, parts.realtime, parts.entrance
    connections = ConnectionOperations(engine, folder, logins)
    timetable = ScheduleOperations(folder, parts.schedules, now)
    yield from StartOperations(engine, journal, folder, realtime, now).operations()
    yield from RunOperations(engine, journal, folder, now, parts.waits_url).operations()
    yield from RepeatOperations(engine, journal, folder, secrets, now).operations()
    yield from StepOperations(journal, folder).operations()
    yield from TriggerOperations(engine, journal, folder, now).operations()
    yield from WaitOperations(engine, journal, now, parts.waits_url).operations()
    yield from EventOperations(engine, journal, secrets.redactor, now).operations()
    yield from PipelineOperations(journal, folder, parts.schedules, secrets, logins.url, now).operations()
    yield from ConnectorOperations(folder, logins.connections).operations()
    yield from ExampleOperations(folder, secrets, parts.webhooks, logins.url, now).operations()
    yield from connections.operations()
    yield from VersionOperations(journal, folder).operations()
    yield from timetable.operations()
    yield from OverviewOperations(engine, journal, folder, connections.describe, timetable.describe, now).operations()
    yield from FindOperations(journal, folder).operations()
    yield from DeliveryOperations(journal, parts.replays, secrets.redactor, folder.list_names, now).operations()
    yield from UnknownPathOperations(parts.webhooks).operations()
    yield from BulkOperations(parts.bulks, journal, now).operations()
    yield from KeyOperations(parts.keys).operations()
    yield from SessionOperations(entrance.sessions, entrance.links).operations()
    yield from SecretOperations(parts.secret_store).operations()
    yield from AuditOperations(journal).operations()
    yield from QueueOperations(engine, journal, now).operations()
    yield from StreamOperations(realtime).operations()
    yield from RetentionOperations(journal, folder, parts.settings).operations()
    yield from AboutOperations(parts.instance, journal, logins.url, now).operations()


class Api:
    """Answers every request below `/api`."""

    def __init__(self, parts: ApiParts) -> None:
        self._bounds = parts.bounds
        self.access = Access(parts.keys, parts.entrance.guesses, parts.realtime)
        self._socket = SocketEndpoint(parts.realtime, parts.entrance.guesses)
        described = list(_list_operations(parts))
        self.calls = OperationCalls(DocumentOperations(described).operations, parts.audit)

    @property
    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All operations."""
        return self.calls.operations

    def app(self) -> Starlette:
        """Everything below `/api`."""
        by_path = groupby(sorted(self.operations, key=lambda each: each.path), key=lambda each: each.path)
        app = Starlette(
            routes=[
                *(self._make_route(path, list(operations)) for path, operations in by_path),
                WebSocketRoute("/socket", self._socket),
            ],
            exception_handlers={HTTPException: answer_http_exception},
        )
        app.router.redirect_slashes = False
        return app

    def _make_route(self, path: str, operations: Sequence[Operation[Any, Any]]) -> Route:
        """One route a path, so that 405 names every method of the path."""
        by_method: dict[str, Operation[Any, Any]] = {operation.method: operation for operation in operations}

        async def answer(request: Request) -> Response:
            if request.method == "OPTIONS":  # no preflight of CORS, which the middleware answers
                return Response(status_code=204, headers={"Allow": ", ".join(sorted([*by_method, "OPTIONS"]))})
            method = "GET" if request.method == "HEAD" else request.method
            return await self._answer(by_method[method], request)

        if any(operation.takes_tokens for operation in operations):
            return Route(path, answer, methods=[*by_method, "OPTIONS"], middleware=[CROSS_ORIGIN])
        return Route(path, answer, methods=list(by_method))

    async def _answer(self, operation: Operation[Any, Any], request: Request) -> Response:
        try:
            if operation.takes_tokens:
                permit = self.access.check_stream(request)
                return await operation.perform(await read(operation, request, self._bounds, None, permit))
            holder = self.access.identify(request) if operation.scope else None
            caller = Caller.of_request(request, holder)
            await self.calls.ensure_permitted(operation, caller, request.path_params)
            asked = await read(operation, request, self._bounds, holder)
            return await self.calls.perform(operation, asked, caller)
        except ClientDisconnect:
            return Response(status_code=400)  # the sender has gone
        except Exception as error:  # noqa: BLE001  # every error becomes an answer
            return make_api_error(error).response()


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Answer what no route takes with problem details."""
    status = error.status_code if isinstance(error, HTTPException) else 503
    headers = error.headers if isinstance(error, HTTPException) else None
    where = f"{request.method} {quote(request.url.path)}"
    return ApiError(status, f"{where} is not part of this service; GET /api/docs lists what is", headers).response()
