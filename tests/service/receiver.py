"""A receiver of traces: takes OTLP over HTTP on a loopback port."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from triggers.http.server import Server, listen


@dataclass
class ReceivedSpan:
    """A span as it arrived; ids in hex, times in ms."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    status: int
    message: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    events: list[str]
    service: str


@dataclass
class TraceReceiver:
    """What arrived, in order. `statuses` are the next answers; then all are 200."""

    url: str
    spans: list[ReceivedSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: Request) -> Response:
        body = await request.body()
        self.headers.append(dict(request.headers))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.bodies.append(body)
            self.spans += read_spans(body)
        self.changed.set()
        return Response(b"", status, media_type="application/x-protobuf")

    async def wait_for(self, has_arrived: Callable[[list[ReceivedSpan]], bool]) -> list[ReceivedSpan]:
        """Return the spans when they are complete."""
        async with asyncio.timeout(60):
            while not has_arrived(self.spans):
                self.changed.clear()
                await self.changed.wait()
        return self.spans

    async def wait_for_run(self, run: str) -> list[ReceivedSpan]:
        """Return the spans when that of a run is among them."""
        return await self.wait_for(lambda spans: any(each.attributes.get("waypost.run") == run for each in spans))

    async def wait_for_requests(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.headers) < count:
                self.changed.clear()
                await self.changed.wait()


def read_spans(body: bytes) -> list[ReceivedSpan]:
    """Decode a request."""
    message = ExportTraceServiceRequest.FromString(body)
    return [
        ReceivedSpan(
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            span.kind,
            span.start_time_unix_nano // 1_000_000,
            span.end_time_unix_nano // 1_000_000,
            span.status.code,
            span.status.message,
            {each.key: _read_value(each.value) for each in span.attributes},
            [(each.trace_id.hex(), each.span_id.hex()) for each in span.links],
            [each.name for each in span.events],
            next(each.value.string_value for each in group.resource.attributes if each.key == "service.name"),
        )
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _read_value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[TraceReceiver]:
    """Receive traces."""
    listener = listen("127.0.0.1", port)
    receiver = TraceReceiver(f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = Starlette(routes=[Route("/v1/traces", receiver.take, methods=["POST"])])
    server = Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield receiver
    finally:
        server.force_exit = True
        server.stop()
        await serving
        listener.close()
