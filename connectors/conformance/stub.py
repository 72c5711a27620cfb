"""A stub of a service: a server on a loopback port that answers as a script says, and records what it gets.

Every connection leads to it, whatever the URL, and without TLS. The request goes through the real HTTP client and a
real socket.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from connectors.wire.client import HttpClient
from connectors.wire.connection import Connection
from connectors.wire.dialer import Dialer
from connectors.wire.egress import Egress, resolve_by_system
from connectors.wire.origin import Origin
from connectors.wire.transport import Transport
from durable.values import JSON

_PHRASE = "Answer"


@dataclass(frozen=True, slots=True)
class StubRequest:
    """A request as the stub got it. `headers` are by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def params(self) -> dict[str, JSON]:
        """The query; a repeated name has a list."""
        return _collect(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def read_body(self) -> JSON:
        """Return the body: JSON, the fields of a form, or text."""
        media = self.headers.get("content-type", "")
        if "json" in media:
            with contextlib.suppress(msgspec.DecodeError):
                decoded: JSON = msgspec.json.decode(self.body)
                return decoded
        text = self.body.decode(errors="replace")
        return _collect(parse_qsl(text, keep_blank_values=True)) if "x-www-form-urlencoded" in media else text or None

    def dump(self) -> str:
        """Return all of the request, as a service may repeat it in an answer."""
        head = "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        return f"{self.method} {self.target}\n{head}\n\n{self.body.decode(errors='replace')}"


def _collect(pairs: list[tuple[str, str]]) -> dict[str, JSON]:
    found: dict[str, list[JSON]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: listed[0] if len(listed) == 1 else listed for name, listed in found.items()}


@dataclass(frozen=True, slots=True)
class StubAnswer:
    """An answer of the stub. `end`: what happens to it: it is sent; nothing is sent, until the client leaves; or it is
    sent again and again, as a body without an end."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    end: Literal["sent", "never", "endless"] = "sent"

    @classmethod
    def of(cls, body: JSON, status: int = 200, headers: Mapping[str, str] | None = None) -> "StubAnswer":
        """Make an answer with a JSON body, or with a text."""
        given = dict(headers or {})
        if isinstance(body, str) and "content-type" not in map(str.lower, given):
            return cls(status, {"content-type": "text/plain; charset=utf-8", **given}, body.encode())
        return cls(status, {"content-type": "application/json", **given}, b"" if body is None else _encode(body))

    def encode_head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {_PHRASE}", *(f"{name}: {value}" for name, value in self.headers.items())]
        lines += [] if self.end == "endless" else [f"content-length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode()


_encode = msgspec.json.encode

Respond: TypeAlias = Callable[[StubRequest, int], StubAnswer]
"""Returns the answer to a request, given also its number, from 0."""


class StubService:
    """The stub. `respond` can be replaced at any time; `requests` are those since then."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[StubRequest] = []
        self._respond: Respond = lambda request, number: StubAnswer.of({})

    def play(self, respond: Respond) -> None:
        """Answer like this from now on, and forget the requests so far."""
        self._respond, self.requests = respond, []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    request = await _read_request(reader)
                    self.requests.append(request)
                    await _send(self._respond(request, len(self.requests) - 1), request, reader, writer)
        finally:
            writer.transport.abort()  # whatever is left of an endless answer


async def _read_request(reader: asyncio.StreamReader) -> StubRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return StubRequest(method, target, headers, body)


async def _send(
    answer: StubAnswer, request: StubRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if answer.end == "never":
        await reader.read()  # until the client leaves
        return
    writer.write(answer.encode_head())
    if request.method != "HEAD":
        writer.write(answer.body)
    await writer.drain()
    while answer.end == "endless":
        writer.write(answer.body)
        await writer.drain()


class _StubDialer(Dialer):
    """Connects to the stub, whatever the origin."""

    def __init__(self, stub: StubService) -> None:
        super().__init__(Egress(), resolve_by_system, None, None)
        self._stub = stub

    async def connect(self, origin: Origin, make: Callable[[], Connection], timeout: float | None) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(make, "127.0.0.1", self._stub.port)
        return connection


@asynccontextmanager
async def open_stub() -> AsyncIterator[tuple[StubService, HttpClient]]:
    """Serve a stub, and offer the HTTP client whose requests all go to it."""
    stub = StubService()
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(stub.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=16 * 1024 * 1024)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        async with HttpClient(transport=Transport(Egress(), dialer=_StubDialer(stub))) as client:
            yield stub, client
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # in which the aborted connections are closed
