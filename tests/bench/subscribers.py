"""What subscribers of one run cost: `python -m tests.bench.subscribers [--subscribers 1000] [--items 40]`.

A run makes entries at a steady pace, and each subscriber follows it over server-sent events. The table shows how long
after an entry's fact, before its commit, a client has it; the processor time of the service for each event that it
sends; and its memory. `missing` counts entries that a client did not get once and in order. Then webhooks are sent one
after the other, with and without subscribers who follow all runs.
"""

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvloop
from rich.table import Table

from tests.bench.asking import start
from tests.bench.polling import HOOK, send
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

PACE = """
inputs: {items: {type: array}}
steps:
  - id: each
    foreach: "{{ inputs.items }}"
    steps:
      - {id: pause, use: wait.delay, with: {for: 100ms}}
      - {id: work, use: transform.set, with: {values: {}}}
"""
COLUMNS = (
    *("subscribers", "events", "missing", "p50 ms", "p99 ms", "worst ms"),
    *("CPU µs an event", "CPU share", "MB", "KB a subscriber"),
)
WEBHOOK_COLUMNS = ("subscribers of all runs", "webhooks", "p50 ms to 202", "p99 ms")
EVENT = re.compile(rb'id: (\d+)\ndata: \{"sequence":\d+,"at":"[^"]+T(\d\d):(\d\d):(\d\d\.\d+)Z"')


@dataclass
class Subscriber(asyncio.Protocol):
    """A client that follows a stream and keeps what arrived: the numbers of the entries, and how late (ms) each was."""

    path: str
    key: str
    numbers: list[int] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    has_begun: bool = False
    has_ended: bool = False
    _rest: bytes = b""

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.Transport = transport
        head = f"GET {self.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self.key}\r\n\r\n"
        transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        self.has_begun = True
        now = time.time() % 86_400
        blocks = (self._rest + data).split(b"\n\n")
        self._rest = blocks.pop()
        for block in blocks:
            if found := EVENT.search(block):
                at = int(found[2]) * 3_600 + int(found[3]) * 60 + float(found[4])
                self.numbers.append(int(found[1]))
                self.late.append((now - at) * 1000)
            elif b"event: end" in block:
                self.has_ended = True
                self.transport.close()


async def subscribe(service: Service, path: str, count: int) -> list[Subscriber]:
    """Open so many streams."""
    key, loop = (service.data / "api.key").read_text().strip(), asyncio.get_running_loop()
    found: list[Subscriber] = []
    for _ in range(count):
        _, subscriber = await loop.create_connection(lambda: Subscriber(path, key), "127.0.0.1", service.port)
        found.append(subscriber)
    await until(lambda: all(each.has_begun for each in found))
    return found


async def measure(table: Table, folder: Path, count: int, items: int) -> None:
    """Add a row."""
    environment = {"WAYPOST_MAX_STREAMS": "10000", "WAYPOST_KEYLESS_RATE": "none"}
    async with Service(folder, lambda line: None, texts={"pace": PACE}, environment=environment) as service:
        run = await start(service, "pace", items=list(range(items)))
        empty = service.memory
        subscribers = await subscribe(service, f"/api/runs/{run}/stream", count)
        replayed = max((len(each.numbers) for each in subscribers), default=0)
        before, began = service.spent().cpu, time.perf_counter()
        await until(lambda: all(each.has_ended for each in subscribers), 300)
        used, took = service.spent().cpu - before, time.perf_counter() - began
        memory = service.memory
    late = [each for subscriber in subscribers for each in subscriber.late[replayed:]]
    longest = max(len(each.numbers) for each in subscribers)
    missing = sum(each.numbers != list(range(1, longest + 1)) for each in subscribers)
    cuts = statistics.quantiles(late, n=100)
    table.add_row(
        *(f"{count:,}", f"{len(late):,}", str(missing)),
        *(f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(late):.1f}"),
        *(f"{used / len(late) * 1e6:.0f}", f"{used / took:.0%}", f"{memory:.0f}"),
        f"{(memory - empty) * 1024 / count:.1f}",
    )


async def measure_webhooks(table: Table, folder: Path, seconds: float) -> None:
    """Add a row without subscribers and one with twenty."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(Service(folder, lambda line: None, texts={"hook": HOOK}))
        url = f"http://127.0.0.1:{service.port}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=60))
        await send(client, 1)
        for count in (0, 20, 0, 20):
            subscribers = await subscribe(service, "/api/stream", count)
            cuts = statistics.quantiles(await send(client, seconds), n=100)
            table.add_row(str(count), f"{seconds / 0.02:.0f}", f"{cuts[49]:.2f}", f"{cuts[98]:.2f}")
            for each in subscribers:
                each.transport.close()


async def main(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        table = table_of("Subscribers of one run", COLUMNS)
        for count in (1, given.subscribers // 10, given.subscribers):
            await measure(table, Path(name) / str(count), max(1, count), given.items)
        page().print(table)
        table = table_of("Webhooks, with and without subscribers", WEBHOOK_COLUMNS)
        await measure_webhooks(table, Path(name) / "hooks", given.seconds)
        page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=6.0)
    uvloop.run(main(parser.parse_args()))
