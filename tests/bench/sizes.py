"""W3 at other sizes: larger payloads, many pipelines, a burst.

    python -m tests.bench.sizes [--seconds 4] [--pipelines 10000] [--burst 5000]

A burst is sent twice: over one connection per webhook, and over 500 connections, which is what the service
serves at once. Nothing is lost if the last step of exactly the accepted webhooks has called the sink.
"""

import argparse
import asyncio
import contextlib
import resource
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from rich.table import Table

from tests.bench.burst import Burst
from tests.bench.load import Load
from tests.bench.rounds import COLUMNS, Place, Rounds, add_rows, page, show, table_of
from tests.bench.sink import Sink
from tests.bench.targets import Bare, Service, pipelines
from tests.bench.webhooks import Webhooks

IN_FLIGHT, FEW = 64, 16
"""Few of large payloads."""

PAYLOADS = {"1 KB": 1_024, "10 KB": 10_240, "1 MB": 1_000_000}
CONNECTIONS = 500


@asynccontextmanager
async def serving(load: Load, called: set[bytes], count: int = 1) -> AsyncIterator[tuple[Service, Sink, Path]]:
    """A service with `count` pipelines, the first of which is `http`; `called` collects the calls to the sink."""

    def freed(number: bytes) -> None:
        called.add(number)
        load.freed(number)

    async with contextlib.AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = await stack.enter_async_context(Sink(freed))
        texts = pipelines(sink.port, {"http": "http"} | {f"p{number}": "http" for number in range(1, count)})
        service = await stack.enter_async_context(Service(root, load.freed, texts=texts))
        yield service, sink, root


async def payloads(table: Table, seconds: float) -> None:
    load = Load()
    async with contextlib.AsyncExitStack() as stack:
        service, sink, root = await stack.enter_async_context(serving(load, set()))
        bare = Bare("bare loop, minimal client", root, load.freed, client="minimal", sink=sink.port)
        places = [Place(target, "/hooks/http", "number") for target in (service, await stack.enter_async_context(bare))]
        for name, size in PAYLOADS.items():
            in_flight = FEW if size > 100_000 else IN_FLIGHT
            found = await Rounds(load, [sink]).measure(places, in_flight, seconds, size=size)
            add_rows(table, f"http, {name}", in_flight, places, found)


async def measure_pipelines(table: Table, seconds: float, counts: list[int]) -> None:
    """One service after the other, the small one again at the end: two at once would not fit on one machine."""
    for count in counts:
        load = Load()
        async with serving(load, set(), count) as (service, sink, _):
            memory, started = service.memory, service.spent().cpu
            await asyncio.sleep(1)
            (found,) = await Rounds(load, [sink]).measure([Place(service, "/hooks/http", "number")], IN_FLIGHT, seconds)
            table.add_row(
                *(f"{count:,}", f"{service.ready:.1f}", f"{started:.1f}", f"{memory:.0f}", f"{found.rate:.0f}"),
                *(f"{found.cost:.2f}", f"{found.peak:.0f}"),
            )


def allow_connections(count: int) -> None:
    """Raise the limit on open files for this process and its children; raises ValueError if it is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


async def burst(table: Table, count: int) -> None:
    allow_connections(count + 1_000)
    for connections in (count, CONNECTIONS):
        called: set[bytes] = set()
        async with serving(Load(), called) as (service, _, _):
            found = Burst()
            answered = await found.send(service, Webhooks("/hooks/http"), count, min(connections, count))
            await service.settle(len(found.accepted))
            ended = found.passed()
            lost, foreign = len(found.accepted - called), len(called - found.accepted)
            said = ", ".join(f"{number:,} × {status}" for status, number in sorted(found.answers.items()))
            table.add_row(
                *(f"{count:,}", f"{connections:,}", said, f"{answered:.1f}", f"{ended:.1f}"),
                *(f"{service.peak:.0f}", str(lost), str(foreign)),
            )


async def main(seconds: float, count: int, webhooks: int) -> None:
    sizes = table_of("W3 with larger payloads", COLUMNS)
    await payloads(sizes, seconds)
    show(sizes)
    many = table_of(
        f"W3 with many pipelines, {IN_FLIGHT} in flight",
        ("pipelines", "ready after s", "with CPU s", "RSS then, MB", "runs/s", "CPU ms a run", "peak MB"),
    )
    await measure_pipelines(many, seconds, [1, count, 1])
    page().print(many)
    columns = (
        "webhooks at once",
        "connections",
        "what",
        "answered s",
        "ended s",
        "peak MB",
        "lost",
        "not accepted but run",
    )
    bursts = table_of("A burst", columns)
    await burst(bursts, webhooks)
    page().print(bursts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="for each target of each row")
    parser.add_argument("--pipelines", type=int, default=10_000)
    parser.add_argument("--burst", type=int, default=5_000)
    given = parser.parse_args()
    uvloop.run(main(given.seconds, given.pipelines, given.burst))
