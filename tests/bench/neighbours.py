"""How a pipeline affects others: `python -m tests.bench.neighbours [--seconds 12] [--runs 1000] [--slow 0]`.

The load is runs that call a hanging service, a `foreach` over 100,000 items, or a burst of 10,000 deliveries.
Measured are runs of two other pipelines, one with an HTTP step and one without, and `/health`. A run that has not ended
after a minute counts as a minute. With `--slow` seconds the service answers after that time, and the results of its
runs are printed instead: failed runs, requests sent twice and uncertain steps.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvloop
from rich.table import Table

from tests.bench.asking import start
from tests.bench.burst import Burst
from tests.bench.foreach import PIPELINE
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.sink import Sink
from tests.bench.targets import Service, pipelines
from tests.bench.webhooks import Webhooks

ITEMS, DELIVERIES, CONNECTIONS = 100_000, 10_000, 200
LONGEST = 60
PAUSE = 0.02
GET = "steps: [{{id: get, use: http.get, with: {{url: 'http://127.0.0.1:{}/{{{{ run.id }}}}'}}{}}}]\n"
POST = "steps: [{{id: post, use: http.post, with: {{url: 'http://127.0.0.1:{}/q', json: {{a: 1}}}}}}]\n"
SET = "steps: [{id: set, use: transform.set, with: {values: {a: 1}}}]\n"
COLUMNS = ("beside", "what", "times", "p50 ms", "p99 ms", "worst ms")

Load = Callable[[Service, httpx.AsyncClient], Coroutine[Any, Any, object]]


@asynccontextmanager
async def open_client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {(service.data / 'api.key').read_text().strip()}"}
    url = f"http://127.0.0.1:{service.port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=LONGEST) as client:
        yield client


async def begin(client: httpx.AsyncClient, pipeline: str, count: int) -> None:
    for _ in range(0, count, 500):
        answer = await client.post(f"/api/pipelines/{pipeline}/runs/batch", json={"runs": [{}] * min(500, count)})
        answer.raise_for_status()


async def clock(ask: Callable[[], Awaitable[object]], end: float) -> list[float]:
    """The duration of each request in milliseconds."""
    took: list[float] = []
    while (began := time.perf_counter()) < end:
        with suppress(httpx.HTTPError):
            await ask()
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE)
    return took


async def run_to_end(client: httpx.AsyncClient, pipeline: str) -> None:
    answer = await client.post(f"/api/pipelines/{pipeline}/runs", json={"wait_for": f"{LONGEST}s"})
    answer.raise_for_status()


async def measure(table: Table, name: str, seconds: float, load: Load | None, texts: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Service(Path(folder), lambda run: None, texts=texts) as service, open_client(service) as client:
            loading = asyncio.create_task(load(service, client)) if load else None
            await asyncio.sleep(1)
            asked = {
                "run with http.post": lambda: run_to_end(client, "quick"),
                "run with transform.set": lambda: run_to_end(client, "set"),
                "GET /health": lambda: client.get("/health"),
            }
            end = time.perf_counter() + seconds
            for what, took in zip(
                asked, await asyncio.gather(*(clock(ask, end) for ask in asked.values())), strict=True
            ):
                cuts = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else took * 100
                table.add_row(name, what, str(len(took)), f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(took):.1f}")
            if loading:
                loading.cancel()
                with suppress(asyncio.CancelledError):
                    await loading


async def burst(service: Service, client: httpx.AsyncClient) -> None:
    await Burst().send(service, Webhooks("/hooks/flood"), DELIVERIES, CONNECTIONS)


async def measure_neighbours(seconds: float, runs: int) -> None:
    table = table_of("What one pipeline costs others", COLUMNS)
    async with Sink(lambda line: None) as quick, Sink(lambda line: None, mood="hold") as hangs:
        others = {"quick": POST.format(quick.port), "set": SET}
        slow = {"slow": GET.format(hangs.port, "")}
        each = {"each": PIPELINE.format(parallel=50)}
        flood = pipelines(quick.port, {"flood": "http"})
        await measure(table, "nothing", seconds, None, others)
        await measure(
            table, f"{runs:,} runs that hang", seconds, lambda _, client: begin(client, "slow", runs), others | slow
        )
        items = list(range(ITEMS))
        await measure(
            *(table, f"a foreach of {ITEMS:,}", seconds),
            *(lambda service, _: start(service, "each", items=items), others | each),
        )
        await measure(table, f"{DELIVERIES:,} deliveries", seconds, burst, others | flood)
    page().print(table)


async def answer_late(
    delay: float, seen: Counter[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with suppress(asyncio.IncompleteReadError, OSError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            seen[head.split()[1].decode()] += 1
            await asyncio.sleep(delay)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    writer.close()


async def wait_through(delay: float, runs: int) -> None:
    """Print the results of `runs` runs that call a slow service."""
    table = table_of(
        f"{runs:,} runs at a service that answers after {delay:g} s",
        ("on_crash", "completed", "failed", "uncertain", "requests", "sent twice", "seconds"),
    )
    for on_crash in ("retry", "park"):
        seen: Counter[str] = Counter()
        server = await asyncio.start_server(partial(answer_late, delay, seen), "127.0.0.1", 0, backlog=512)
        text = GET.format(server.sockets[0].getsockname()[1], f", on_crash: {on_crash}")
        with tempfile.TemporaryDirectory() as folder:
            async with (
                Service(Path(folder), lambda run: None, texts={"slow": text}) as service,
                open_client(service) as client,
            ):
                began = time.perf_counter()
                await begin(client, "slow", runs)
                with suppress(TimeoutError):
                    await until(lambda: service.ended >= runs, 60 + 3 * delay * (1 + runs / 100), 0.5)
                took = time.perf_counter() - began
                found: Counter[str] = Counter()
                for status in ("completed", "failed", "paused"):
                    answer = await client.get(f"/api/runs?status={status}&limit=1000")
                    found[status] = len(answer.json()["runs"])
        server.close()
        twice = sum(count > 1 for count in seen.values())
        counts = (found["completed"], found["failed"], found["paused"], seen.total(), twice, round(took))
        table.add_row(on_crash, *map(str, counts))
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--slow", type=float, default=0)
    given = parser.parse_args()
    uvloop.run(wait_through(given.slow, given.runs) if given.slow else measure_neighbours(given.seconds, given.runs))
