"""A burst: many webhooks at once, each on its own connection, and their responses."""

import asyncio
import time
from collections import Counter
from typing import cast

from tests.bench.process import until
from tests.bench.targets import Service
from tests.bench.webhooks import Webhooks

CONNECTING = 400
"""Connections that are being made at a time; all are open before the first webhook is sent."""


class Burst:
    """`answers` counts responses, with "none" for a closed connection; `accepted` holds the accepted numbers."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.accepted: set[bytes] = set()
        self.began = 0.0

    async def send(self, service: Service, webhooks: Webhooks, count: int, connections: int) -> float:
        """Send the webhooks over `connections` connections, each one share in sequence; returns the seconds until
        the last response."""
        shares = [webhooks.some(count // connections) for _ in range(connections)]
        senders = [_Sender(self, service.port, share) for share in shares]
        for at in range(0, connections, CONNECTING):
            await asyncio.gather(*(sender.connect() for sender in senders[at : at + CONNECTING]))
        self.began = time.perf_counter()
        for sender in senders:
            sender.send()
        await until(lambda: all(sender.is_done for sender in senders), 600)
        return self.passed()

    def passed(self) -> float:
        """Seconds since the first request."""
        return time.perf_counter() - self.began


class _Sender(asyncio.Protocol):
    """Sends its share in sequence, reconnecting where the service has closed the connection."""

    def __init__(self, burst: Burst, port: int, webhooks: list[tuple[bytes, bytes]]) -> None:
        self._burst = burst
        self._port = port
        self._webhooks = webhooks
        self._number = b""
        self._received = b""
        self._connecting: asyncio.Task[None] | None = None
        self.is_done = False

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        if self._burst.began:
            self.send()

    def send(self) -> None:
        if self._webhooks:
            self._number, request = self._webhooks.pop()
            self._received = b""
            self._transport.write(request)
        else:
            self.is_done = True
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        if body and (body.endswith(b"}") or not head.startswith(b"HTTP/1.1 202")):
            self._answered(head, body)

    def _answered(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"HTTP/1.1 202"):
            self._burst.accepted.add(self._number)
            self._burst.answers["202"] += 1
        else:
            self._burst.answers[f"{head[9:12].decode()} {body.decode()[:60]}"] += 1
        self._number = b""
        if b"connection: close" in head.lower():
            self._transport.close()
        else:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._number:
            self._number = b""
            self._burst.answers["none"] += 1
        if not self.is_done:
            self._connecting = asyncio.ensure_future(self.connect())
