"""A minimal HTTP client: keep-alive, JSON requests and responses, one request at a time on a connection."""

import asyncio
from typing import cast


class MinimalClient:
    """Calls one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []

    async def post(self, path: str, body: bytes, key: str) -> bytes:
        """The whole response, head and body."""
        connection = self._idle.pop() if self._idle else await self._connect()
        head = f"POST {path} HTTP/1.1\r\nhost: sink\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\n"
        answer = await connection.ask(b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(body), body))
        self._idle.append(connection)
        return answer

    async def _connect(self) -> "_Connection":
        return (await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port))[1]


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"}") and self._answer:
            self._answer.set_result(self._received)
            self._received = b""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the sink hung up"))
