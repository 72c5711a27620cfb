"""The cost of a POST: CPU microseconds a call at 1, 16, 64 and 256 in flight, compared with plain httpx.

    python -m tests.bench.client [CALLS]

The server is a separate process and is not counted.
"""

import asyncio
import logging
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import cast

import httpx
import uvloop

from connectors.http import CONNECTOR, HttpOutput
from connectors.wire.client import HttpClient
from connectors.wire.egress import Egress
from connectors.wire.transport import Transport
from durable.action import Context
from durable.values import JSON

IN_FLIGHT = (1, 16, 64, 256)
LOCAL = Egress.parse("127.0.0.0/8")
PAYLOAD: JSON = {"id": "ord_1042", "total": 129.5, "lines": [{"sku": "A-7", "quantity": 2}] * 4}
POST = CONNECTOR.actions["post"]
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{"id":"ch_1","ok":1  }'

Call = Callable[[], Awaitable[object]]


class Answering(asyncio.Protocol):
    """Answers every complete request; the requests are small, so each arrives in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"}"):
            self._received = b""
            self._transport.write(ANSWER)


def serve(port: Connection) -> None:
    """Serve until killed, after sending the port through the pipe."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=512)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())


async def cost(call: Call, calls: int, in_flight: int) -> float:
    """CPU microseconds a call."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await call()

    await asyncio.gather(*(worker(5) for _ in range(in_flight)))
    before = time.process_time()
    await asyncio.gather(*(worker(calls // in_flight) for _ in range(in_flight)))
    return (time.process_time() - before) / (calls // in_flight * in_flight) * 1e6


async def compare(url: str, calls: int) -> None:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    log = logging.LoggerAdapter(logging.getLogger("waypost.run"), {})
    async with (
        HttpClient(egress=LOCAL) as client,
        Transport(LOCAL) as transport,
        httpx.AsyncClient(transport=Transport(LOCAL), trust_env=False) as over_ours,
        httpx.AsyncClient(limits=limits, trust_env=False) as plain,
    ):

        async def straight() -> None:
            response = await transport.handle_async_request(httpx.Request("POST", url, json=PAYLOAD))
            await response.aread()

        async def action() -> None:
            given = POST.input.model_validate({"url": url, "json": PAYLOAD})
            reply = await POST.perform(Context("r", "s", 1, "r:s", log, {HttpClient: client}), given)
            assert isinstance(reply, HttpOutput)
            reply.model_dump(mode="json")

        ways: dict[str, Call] = {
            "http.post": action,
            "HttpClient.send": lambda: client.send(Context("r", "s", 1, "r:s", log), "POST", url, json=PAYLOAD),
            "httpx.Request into our transport": straight,
            "httpx.AsyncClient over our transport": lambda: over_ours.post(url, json=PAYLOAD),
            "httpx.AsyncClient as it comes": lambda: plain.post(url, json=PAYLOAD),
        }
        for name, call in ways.items():
            figures = [await cost(call, calls, in_flight) for in_flight in IN_FLIGHT]
            print(f"  {name:38}" + "".join(f"{figure:9.0f}" for figure in figures))


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 6_400
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}/v1/charges"
    try:
        for name, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
            print(f"{name}: CPU µs a call, in flight" + "".join(f"{count:9}" for count in IN_FLIGHT))
            run(compare(url, calls))
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
