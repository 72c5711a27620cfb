"""W3: a signed POST of 1 KB, three HTTP steps to a sink, every checkpoint flushed; and the same with no-op steps.

    python -m tests.bench.w3 [--seconds 5] [--in-flight 1,16,64]

The service runs in a process of its own. This one sends the webhooks and is the sink that the steps call; a slot of the
closed loop is free again when the last step of its run has arrived (of no-op steps: when the run has ended, asked every
few milliseconds for all of them at once, over `/metrics`).
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from triggers.webhooks.presets import named_scheme
from triggers.webhooks.signature import sign

SECRET = "bench-secret"
SCHEME = named_scheme("hmac", {"header": "x-signature"}, "verify")
HEAD = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

TRIGGER = """
triggers:
  - id: hook
    use: webhook
    with: {{path: /{id}, verify: {{preset: hmac, header: x-signature, secret: "{{{{ secrets.BENCH }}}}"}}}}
    inputs: {{number: "{{{{ trigger.body.number }}}}", text: "{{{{ trigger.body.text }}}}"}}
steps:
"""
HTTP_STEP = """
  - id: s{n}
    use: http.post
    with: {{url: "{sink}/s{n}", json: {{number: "{{{{ inputs.number }}}}", step: {n}}}}}
"""
NOOP_STEP = """
  - {{id: s{n}, use: transform.set, with: {{values: {{number: "{{{{ inputs.number }}}}"}}}}}}
"""


@dataclass
class Sink(asyncio.Protocol):
    """Answers every request at once, and frees the slot whose last step arrives."""

    waiting: dict[int, "asyncio.Future[None]"]
    buffer: bytes = b""
    transport: asyncio.Transport | None = None

    def __call__(self) -> "Sink":
        return Sink(self.waiting)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = HEAD.search(self.buffer, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < size:
                return
            request, self.buffer = self.buffer[:size], self.buffer[size:]
            self._answer(request, end)

    def _answer(self, request: bytes, end: int) -> None:
        assert self.transport
        self.transport.write(
            b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'
        )
        if request.startswith(b"POST /s3 "):
            number = json.loads(request[end + 4 :])["number"]
            if (slot := self.waiting.pop(number, None)) and not slot.done():
                slot.set_result(None)


@dataclass
class Load:
    """A closed loop over keep-alive connections: `accepted` and `finished` are seconds from sending a request."""

    host: str
    port: int
    pipeline: str
    waiting: dict[int, "asyncio.Future[None]"]
    waits: bool
    number: int = 0
    accepted: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)

    async def run(self, in_flight: int, seconds: float) -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(self._slot(end) for _ in range(in_flight)))

    async def _slot(self, end: float) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        while time.perf_counter() < end:
            self.number += 1
            done = self.waiting[self.number] = asyncio.get_running_loop().create_future()
            began = time.perf_counter()
            writer.write(self._request(self.number))
            head = await reader.readuntil(b"\r\n\r\n")
            length = HEAD.search(head)
            assert head.startswith(b"HTTP/1.1 202"), head
            await reader.readexactly(int(length[1]) if length else 0)
            self.accepted.append(time.perf_counter() - began)
            if self.waits:
                await done
                self.finished.append(time.perf_counter() - began)
        writer.close()

    def _request(self, number: int) -> bytes:
        body = json.dumps({"number": number, "text": "x" * 980}).encode()
        headers = {"host": "bench", "content-type": "application/json", "content-length": str(len(body))}
        signed = headers | sign(SCHEME, SECRET, body, 0, id="")
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return f"POST /hooks/{self.pipeline} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def _serve(folder: Path, sink: str) -> tuple[asyncio.subprocess.Process, int]:
    pipelines = folder / "config" / "pipelines"
    pipelines.mkdir(parents=True)
    for name, step in (("http", HTTP_STEP), ("noop", NOOP_STEP)):
        steps = "".join(step.format(n=n, sink=sink) for n in (1, 2, 3))
        (pipelines / f"{name}.yaml").write_text(TRIGGER.format(id=name) + steps)
    environment = os.environ | {
        "WAYPOST_SECRET_BENCH": SECRET,
        "WAYPOST_EGRESS_ALLOW": "127.0.0.0/8",
        "WAYPOST_LOG_LEVEL": "info",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from triggers.cli import main; main()", "serve", "--port", "0"),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    while line := (await process.stdout.readline()).decode():
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return process, int(found[1])
    raise RuntimeError("the service did not start")


def _cpu_and_memory(pid: int) -> tuple[float, float]:
    """Seconds of CPU so far, and megabytes at most."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(peak[1]) / 1024 if peak else 0


async def _finished(port: int, pipeline: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    ended = re.findall(rf'waypost_runs_finished_total{{pipeline="{pipeline}",status="\w+"}} (\S+)', text)
    return int(sum(float(number) for number in ended))


def _quantiles(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "-"
    cuts = statistics.quantiles(seconds, n=100)
    return " / ".join(f"{cuts[at - 1] * 1000:.1f}" for at in (50, 95, 99))


async def main(seconds: float, in_flight: list[int]) -> None:
    table = Table(title="W3: signed POST of 1 KB, three steps, SQLite FULL")
    for column in ("steps", "in flight", "runs/s", "202 ms p50/95/99", "last step ms", "CPU ms a run", "peak MB"):
        table.add_column(column, justify="right")
    waiting: dict[int, asyncio.Future[None]] = {}
    listener = await asyncio.get_running_loop().create_server(Sink(waiting), "127.0.0.1", 0)
    sink = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        process, port = await _serve(Path(folder), sink)
        try:
            for pipeline in ("http", "noop"):
                total = 0
                for number in in_flight:
                    load = Load("127.0.0.1", port, pipeline, waiting, pipeline == "http", number=total)
                    cpu, _ = _cpu_and_memory(process.pid)
                    began = time.perf_counter()
                    await load.run(number, seconds)
                    while await _finished(port, pipeline) < load.number:
                        await asyncio.sleep(0.005)
                    took = time.perf_counter() - began
                    spent, peak = _cpu_and_memory(process.pid)
                    runs = load.number - total
                    total = load.number
                    table.add_row(
                        *(pipeline, str(number), f"{runs / took:.0f}", _quantiles(load.accepted)),
                        *(_quantiles(load.finished), f"{(spent - cpu) * 1000 / runs:.2f}", f"{peak:.0f}"),
                    )
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
    Console(width=120).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--in-flight", default="1,16,64")
    given = parser.parse_args()
    asyncio.run(main(given.seconds, [int(number) for number in given.in_flight.split(",")]))
