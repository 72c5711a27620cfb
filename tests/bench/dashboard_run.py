"""The page of a long run: `python -m tests.bench.dashboard_run [--items 10000] [--times 15]`.

A `foreach` of many items has ended, and the run goes on with a turn of a `repeat` every tenth of a second. The table
has the milliseconds to the first byte of the run's page and of its parts, and their bytes: the first time, the first of
all just after a start of the service, and later, when each request finds a few more entries.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import uvloop
from rich.table import Table

from tests.bench.asking import start
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

PATIENCE = 600
PIPELINE = """
inputs: {items: {type: array}}
steps:
  - id: each
    foreach: inputs.items
    max_parallel: 50
    on_item_error: collect
    steps: [{id: work, use: transform.set, with: {values: {n: "{{ 1 // (item % 5000) }}"}}}]
  - id: poll
    repeat: {until: "1 > 2", max_times: 90000, every: 100ms}
    steps: [{id: look, use: transform.set, with: {values: {n: 1}}}]
"""
COLUMNS = ("what", "first ms", "median ms", "worst ms", "bytes", "gzip bytes")


async def measure(table: Table, client: httpx.AsyncClient, name: str, path: str, times: int) -> None:
    """Add the row of one address. A request finds new entries, because turns are performed all the time."""
    took: list[float] = []
    size = packed = 0
    for _ in range(times):
        began = time.perf_counter()
        async with client.stream("GET", path, headers={"Accept": "text/html"}) as answer:
            took.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
            size = len(await answer.aread())
            packed = answer.num_bytes_downloaded
    first, *others = took
    table.add_row(
        *(name, f"{first:.0f}", f"{statistics.median(others):.0f}", f"{max(others):.0f}", f"{size:,}", f"{packed:,}")
    )


def list_pages(run: str, items: int) -> dict[str, str]:
    """What is measured, by name."""
    item = quote(f"each[{items // 2 + 1}].work", safe="")
    return {
        "the page": f"/runs/{run}",
        "its loop": f"/runs/{run}?under=each",
        "a later page of the loop": f"/runs/{run}?under=each&after={item}",
        "its loop, one step open": f"/runs/{run}?under=each&step={item}",
        "its failures": f"/runs/{run}?only=failed",
        "its graph": f"/runs/{run}?view=graph",
        "its history": f"/runs/{run}?view=history",
        "the API: the run": f"/api/runs/{run}",
        "the API: its outline": f"/api/runs/{run}/outline",
        "the API: the outline of the loop": f"/api/runs/{run}/outline?under=each",
    }


async def wait_for_polls(client: httpx.AsyncClient, run: str) -> None:
    """Wait until the loop has ended, and the turns are performed."""
    path = f"/api/runs/{run}/steps?order=time&outline=true"
    while all(step["path"] != "poll" for step in (await client.get(path)).json()["steps"]):
        await asyncio.sleep(0.5)


def connect(service: Service) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {(service.data / 'api.key').read_text().strip()}"}
    url = f"http://127.0.0.1:{service.port}"
    return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE)


async def main(given: argparse.Namespace) -> None:
    table = table_of(f"The page of a run of {given.items:,} steps, to the first byte", COLUMNS)
    with tempfile.TemporaryDirectory() as name:
        folder, texts = Path(name), {"each": PIPELINE}
        async with Service(folder, lambda run: None, texts=texts) as service, connect(service) as client:
            run = await start(service, "each", items=list(range(given.items)))
            await wait_for_polls(client, run)
        async with Service(folder, lambda run: None, texts=texts) as service, connect(service) as client:
            for what, path in list_pages(run, given.items).items():
                await measure(table, client, what, path, given.times)
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=15)
    uvloop.run(main(parser.parse_args()))
