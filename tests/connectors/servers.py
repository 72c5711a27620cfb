"""Servers on real ports whose behaviour a test scripts, correct or faulty."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as a server saw it."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Server:
    """Requests and connections of a server. A request sets `asked`, a client that disconnects sets `gone`."""

    port: int = 0
    scheme: str = "http"
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


class Visit:
    """One connection, from the server's side."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self._writer = server, reader, writer

    async def request(self) -> Received:
        """The next request; raises `IncompleteReadError` once the client has disconnected."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        received = Received(head[0], headers, body)
        self.server.requests.append(received)
        self.server.asked.set()
        return received

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Close at once, with a TCP reset."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Behaviour: TypeAlias = Callable[[Visit], Awaitable[None]]


@asynccontextmanager
async def serve(behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve on a free local port; each connection is a `Visit`."""
    seen = Server(scheme="https" if tls else "http")
    visits: set[asyncio.Task[None]] = set()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(Visit(seen, reader, writer))
        except (asyncio.IncompleteReadError, OSError):
            seen.gone.set()
        finally:
            writer.close()

    def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        visits.add(asyncio.create_task(visit(reader, writer)))

    listener = await asyncio.start_server(visited, "127.0.0.1", 0, ssl=tls)
    seen.port = listener.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        listener.close()
        for task in visits:
            task.cancel()
        for ended in await asyncio.gather(*visits, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


def answering(*answers: bytes) -> Behaviour:
    """Send these responses to the requests of each connection, repeating the last one."""

    async def behave(visit: Visit) -> None:
        for answer in answers:
            await visit.request()
            await visit.send(answer)
        while True:
            await visit.request()
            await visit.send(answers[-1])

    return behave


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A response with this body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
