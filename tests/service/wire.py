"""A server that records and echoes requests, and raw connections to it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.types import Message, Receive, Scope, Send

from triggers.http.server import listen, make_server

TURNS = 4
"""Turns of the event loop after which the server, which runs in it too, has read what was written before."""


class Seen(NamedTuple):
    """A request as the application received it."""

    method: str
    target: bytes
    body: bytes


class WireAnswer(NamedTuple):
    """A response as the client received it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> str:
        """The `detail` of a problem document."""
        return str(json.loads(self.body)["detail"])


@dataclass
class Recorder:
    """An application that answers each request with its path; `seen` holds the requests by client port."""

    port: int = 0
    seen: dict[int, list[Seen]] = field(default_factory=dict)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Requests for `/held` wait until it is set."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        self.seen.setdefault(scope["client"][1], []).append(Seen(scope["method"], scope["raw_path"] + query, body))
        self.headers.append(dict(scope["headers"]))
        if scope["raw_path"] == b"/held":
            await self.gate.wait()
        headers = [(b"content-length", str(len(scope["raw_path"])).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": scope["raw_path"]})

    @property
    def count(self) -> int:
        """The number of requests that the application received."""
        return len(self.headers)

    @property
    def paths(self) -> list[str]:
        """The targets of all requests in the order of arrival."""
        return [each.target.decode() for requests in self.seen.values() for each in requests]


@asynccontextmanager
async def recording(max_connections: int = 1_000) -> AsyncIterator[Recorder]:
    """Serve a recorder on a port."""
    recorder = Recorder()
    with listen("127.0.0.1", 0) as listener:
        recorder.port = listener.getsockname()[1]
        server = make_server(recorder, max_connections=max_connections)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield recorder
        finally:
            server.stop()
            await serving


async def exchange(port: int, parts: Sequence[bytes], *, ends: bool = True) -> tuple[list[WireAnswer], int]:
    """Send the parts, each of which the server reads separately, and return the bytes until the server closed and the
    client's port. Unless the client `ends` its side, the server must close by itself."""
    loop = asyncio.get_running_loop()
    came = bytearray()
    with socket.socket() as client, contextlib.suppress(ConnectionError):
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        own_port = client.getsockname()[1]
        with contextlib.suppress(OSError):  # the server has closed already, and may have answered
            for part in parts:
                await loop.sock_sendall(client, part)
                for _ in range(TURNS if len(parts) > 1 else 0):
                    await asyncio.sleep(0)
            if ends:
                client.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(60):
            while chunk := await loop.sock_recv(client, 65_536):
                came += chunk
    return read_answers(bytes(came)), own_port


def read_answers(raw: bytes) -> list[WireAnswer]:
    """Parse the final responses in a server's output; raises ValueError for anything else in it."""
    answers = []
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        if not end or not line.startswith(b"HTTP/1.1 "):
            raise ValueError(f"this is no answer: {head[:80]!r}")
        status = int(line.split()[1])
        if status < 200:
            continue
        headers = dict(field.decode("latin-1").lower().split(": ", 1) for field in fields)
        length = int(headers.get("content-length", "0"))
        if len(raw) < length:
            raise ValueError(f"{len(raw)} of {length} bytes came of an answer")
        answers.append(WireAnswer(status, headers, raw[:length]))
        raw = raw[length:]
    return answers
