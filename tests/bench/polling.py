"""How readers of a long run affect webhooks: `python -m tests.bench.polling [--items 10000] [--pollers 4] [--every 0]`.

A `foreach` of many items has ended. Then webhooks are sent one after the other, first alone and then next to clients
that request the run's documents repeatedly, `every` so many seconds or as fast as they are answered; the table shows
the latency of a webhook, the length of an answer, and the processor time of the service for each answer, from which
that of the webhooks is subtracted.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvloop
from rich.table import Table

from tests.bench.asking import start
from tests.bench.foreach import PATIENCE, PIPELINE
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

HOOK = """
triggers:
  - {id: hook, use: webhook, with: {path: /hook, verify: none}}
steps:
  - {id: work, use: transform.set, with: {values: {}}}
"""
SECONDS = 6.0
EVERY = 0.02
COLUMNS = (
    *("readers ask for", "answers", "bytes", "median ms", "CPU ms an answer"),
    *("webhooks", "p50 ms", "p99 ms", "worst ms"),
)


@dataclass
class Reads:
    """What readers ask for, and what became of it. `knows`: they send the tag of the answer before."""

    name: str
    path: str | None = None
    knows: bool = False
    took: list[float] = field(default_factory=list)
    bytes: int = 0


async def poll(client: httpx.AsyncClient, reads: Reads, every: float) -> None:
    headers: dict[str, str] = {}
    while True:
        began = time.perf_counter()
        answer = await client.get(reads.path or "", headers=headers)
        if answer.status_code == 503:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code != 304:
            answer.raise_for_status()
        reads.took.append(time.perf_counter() - began)
        reads.bytes = len(answer.content)
        headers = {"if-none-match": answer.headers["etag"]} if reads.knows else {}
        await asyncio.sleep(every)


async def send(client: httpx.AsyncClient, seconds: float) -> list[float]:
    """The latency of each webhook in milliseconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        (await client.post("/hooks/hook", json={"n": 1})).raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(EVERY)
    return took


async def measure(table: Table, service: Service, reads: Reads, given: argparse.Namespace, idle: float) -> float:
    """Add a row; return the processor time of the service for each webhook, which `idle` is without readers."""
    headers = {"authorization": f"Bearer {(service.data / 'api.key').read_text().strip()}"}
    url = f"http://127.0.0.1:{service.port}"
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=120) as reader,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=120) as sender,
    ):
        before = service.spent().cpu
        polling = [asyncio.create_task(poll(reader, reads, given.every)) for _ in range(given.pollers) if reads.path]
        took = await send(sender, given.seconds)
        used = service.spent().cpu - before
        for each in polling:
            each.cancel()
        for each in polling:
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await each
    cuts = statistics.quantiles(took, n=100) if len(took) > 1 else took * 100
    cost = f"{max(0.0, used - idle * len(took)) * 1000 / len(reads.took):.1f}" if reads.took else ""
    table.add_row(
        *(reads.name, str(len(reads.took)), f"{reads.bytes:,}"),
        *(f"{statistics.median(reads.took) * 1000:.1f}" if reads.took else "", cost),
        *(str(len(took)), f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(took):.1f}"),
    )
    return used / len(took)


def list_reads(run: str, items: int) -> list[Reads]:
    path, middle = f"/api/runs/{run}", items // 2
    return [
        Reads("the run", path),
        Reads("the run, with its tag", path, knows=True),
        Reads("a page of steps", f"{path}/steps?after=0-{middle}&order=time"),
        Reads("steps of one item", f"{path}/steps?under=each[{middle}]"),
        Reads("one step", f"{path}/steps/each[{middle}].work"),
        Reads("history", f"{path}/history"),
        Reads("export", f"{path}/export"),
        Reads("its waits", f"/api/waits?run={run}"),
    ]


async def main(given: argparse.Namespace) -> None:
    title = f"Webhooks beside {given.pollers} readers of a foreach of {given.items:,} items"
    table = table_of(title, COLUMNS)
    with tempfile.TemporaryDirectory() as name:
        ended: list[bytes] = []
        texts = {"each": PIPELINE.format(parallel=50), "hook": HOOK}
        async with Service(Path(name), ended.append, texts=texts) as service:
            run = await start(service, "each", items=list(range(given.items)))
            await until(lambda: bool(ended), PATIENCE)
            idle = await measure(table, service, Reads("nothing"), given, 0)
            for reads in list_reads(run, given.items):
                await measure(table, service, reads, given, idle)
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--pollers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--every", type=float, default=0)
    uvloop.run(main(parser.parse_args()))
