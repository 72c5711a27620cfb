"""The service that steps call, as cheap as possible in Python, as a separate process.

    python -m tests.bench.sink [--port N] [--mood answer|refuse|hold]

It prints its port, then the number of every call by a run's last step. `refuse` answers 503, `hold` never answers.
"""

import argparse
import asyncio
import os
from typing import cast

import uvloop

from tests.bench.process import Line, Process, until

OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'
BUSY = b'HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"ok":false}'
ANSWERS = {"answer": OK, "refuse": BUSY, "hold": None}
LAST = b"POST /s3 "


class Reports:
    """Writes lines to standard output, one write per turn of the event loop."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(line)

    def _write(self) -> None:
        lines = b"\n".join(self._lines) + b"\n"
        self._lines.clear()
        while lines:
            lines = lines[os.write(1, lines) :]


class Answering(asyncio.Protocol):
    """Requests are small and not pipelined, so a request is complete at the end of its JSON: `…"number":N}`."""

    def __init__(self, answer: bytes | None, reports: Reports) -> None:
        self._answer = answer
        self._reports = reports
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        if not data.endswith(b"}"):
            self._received = data
            return
        self._received = b""
        if self._answer:
            self._transport.write(self._answer)
        if data.startswith(LAST):
            self._reports.add(data[data.rfind(b":") + 1 : -1].strip())


async def serve(port: int, mood: str) -> None:
    answer, reports = ANSWERS[mood], Reports()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(answer, reports), "127.0.0.1", port, backlog=1024)
    reports.add(b"port %d" % server.sockets[0].getsockname()[1])
    await server.serve_forever()


class Sink(Process):
    """The process of the sink; `called` gets the number of every call by a last step."""

    def __init__(self, called: Line, *, port: int = 0, mood: str = "answer") -> None:
        super().__init__(["-m", "tests.bench.sink", "--port", str(port), "--mood", mood], self._line)
        self._called = called
        self.port = 0

    def _line(self, line: bytes) -> None:
        if self.port:
            self._called(line)
        else:
            self.port = int(line.removeprefix(b"port "))

    async def __aenter__(self) -> "Sink":
        await super().__aenter__()
        await until(lambda: bool(self.port))
        return self


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mood", choices=list(ANSWERS), default="answer")
    given = parser.parse_args()
    uvloop.run(serve(given.port, given.mood))
