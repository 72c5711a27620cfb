"""How readers of a long run affect webhooks: `python -m tests.bench.polling [--items 10000] [--pollers 4]`.

A `foreach` of many items has ended. Then webhooks are sent one after the other, first alone and then next to clients
that request the run's documents repeatedly; the table shows the latency of a webhook.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import suppress
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
COLUMNS = ("readers ask for", "answers", "median s", "webhooks", "p50 ms", "p99 ms", "worst ms")


async def poll(client: httpx.AsyncClient, path: str, took: list[float]) -> None:
    while True:
        began = time.perf_counter()
        answer = await client.get(path)
        if answer.status_code == 503:
            await asyncio.sleep(0.1)
            continue
        answer.raise_for_status()
        took.append(time.perf_counter() - began)


async def send(client: httpx.AsyncClient, seconds: float) -> list[float]:
    """The latency of each webhook in milliseconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        (await client.post("/hooks/hook", json={"n": 1})).raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(EVERY)
    return took


async def measure(table: Table, service: Service, path: str | None, pollers: int, seconds: float) -> None:
    headers = {"authorization": f"Bearer {(service.data / 'api.key').read_text().strip()}"}
    url = f"http://127.0.0.1:{service.port}"
    reads: list[float] = []
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=120) as reader,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=120) as sender,
    ):
        polling = [asyncio.create_task(poll(reader, path, reads)) for _ in range(pollers) if path]
        took = await send(sender, seconds)
        for each in polling:
            each.cancel()
        for each in polling:
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await each
    cuts = statistics.quantiles(took, n=100) if len(took) > 1 else took * 100
    table.add_row(
        *(path.rpartition("/")[2] if path else "nothing", str(len(reads))),
        *(f"{statistics.median(reads):.2f}" if reads else "", str(len(took))),
        *(f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(took):.1f}"),
    )


async def main(items: int, pollers: int, seconds: float) -> None:
    table = table_of(f"Webhooks beside {pollers} readers of a foreach of {items:,} items", COLUMNS)
    with tempfile.TemporaryDirectory() as name:
        ended: list[bytes] = []
        texts = {"each": PIPELINE.format(parallel=50), "hook": HOOK}
        async with Service(Path(name), ended.append, texts=texts) as service:
            run = await start(service, "each", items=list(range(items)))
            await until(lambda: bool(ended), PATIENCE)
            paths = (None, f"/api/runs/{run}", f"/api/runs/{run}/history", f"/api/runs/{run}/export")
            for path in (*paths, f"/api/waits?run={run}"):
                await measure(table, service, path, pollers, seconds)
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--pollers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    uvloop.run(main(given.items, given.pollers, given.seconds))
