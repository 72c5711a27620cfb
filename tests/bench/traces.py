"""What the export of traces costs: `python -m tests.bench.traces [--runs 3000] [--rate 100]`.

Webhooks of runs with three steps that do nothing arrive at a fixed rate, without export, with a receiver, and with one
that is down; each time on a service of its own. The table shows the latency of the 202, the CPU of the service for each
run, its peak of memory, and how long after the last run the last span arrived. Then one run of 10,000 steps is
exported.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import uvloop

from tests.bench.rounds import page, table_of
from tests.bench.targets import Service, pipelines
from tests.bench.webhooks import Webhooks
from tests.service.receiver import TraceReceiver, receiving

COLUMNS = ("export", "202 p50 ms", "202 p99 ms", "CPU ms a run", "peak MB", "spans", "last span after s")
LONG = """
inputs: {items: {type: array}}
steps:
  - id: each
    foreach: "{{ inputs.items }}"
    max_parallel: 50
    steps: [{id: do, use: transform.set, with: {values: {a: 1}}}]
"""
STEPS = 10_000
DEAD = "http://127.0.0.1:9"


class Figures(NamedTuple):
    """What a round came to: seconds of each 202, CPU seconds, megabytes, and seconds until the last span."""

    accepted: list[float]
    cpu: float
    peak: float
    spans: int
    after: float


async def measure(
    folder: Path, runs: int, rate: float, receiver: TraceReceiver | None, endpoint: str | None
) -> Figures:
    """Send webhooks at a fixed rate to a service that exports to an endpoint, if one is given."""
    async with Service(
        folder, _ignore, texts=pipelines(0, {"noop": "noop"}), environment=_point_to(endpoint)
    ) as service:
        before, accepted = service.spent().cpu, list[float]()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", trust_env=False) as client:
            webhooks, begun = Webhooks("/hooks/noop"), time.perf_counter()
            async with asyncio.TaskGroup() as sending:
                for number in range(runs):
                    await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                    sending.create_task(_send(client, webhooks.next()[1], accepted))
        await service.settle(runs)
        ended = time.perf_counter()
        if receiver:
            await receiver.wait_for(lambda spans: len(spans) >= 4 * runs)
        after = time.perf_counter() - ended
        return Figures(
            accepted, service.spent().cpu - before, service.peak, len(receiver.spans) if receiver else 0, after
        )


async def _send(client: httpx.AsyncClient, message: bytes, accepted: list[float]) -> None:
    head, _, body = message.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    began = time.perf_counter()
    answer = await client.post(line.split(" ")[1], content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    accepted.append(time.perf_counter() - began)


async def measure_long(folder: Path, receiver: TraceReceiver) -> str:
    """Export one long run, and send webhooks meanwhile."""
    texts = {"long": LONG, **pipelines(0, {"noop": "noop"})}
    environment = {**_point_to(receiver.url), "WAYPOST_API_KEY": "key"}
    async with Service(folder, _ignore, texts=texts, environment=environment) as service:
        headers = {"authorization": "Bearer key"}
        address = f"http://127.0.0.1:{service.port}"
        async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=60) as client:
            inputs = {"inputs": {"items": list(range(STEPS))}}
            run = (await client.post("/api/pipelines/long/runs", json=inputs)).raise_for_status().json()["id"]
            await service.settle(1)
            before, began, accepted = service.spent().cpu, time.perf_counter(), list[float]()
            webhooks = Webhooks("/hooks/noop")
            waiting = asyncio.create_task(receiver.wait_for_run(run))
            while not waiting.done():
                await _send(client, webhooks.next()[1], accepted)
                await asyncio.sleep(0.01)
            seconds, cpu = time.perf_counter() - began, service.spent().cpu - before
    return (
        f"A run of {STEPS:,} steps: {len(receiver.spans):,} spans in {len(receiver.bodies)} requests, {seconds:.1f} s, "
        f"{cpu:.1f} s of CPU; meanwhile 202 p99 {_p(accepted, 99):.1f} ms, worst {max(accepted) * 1000:.1f} ms"
    )


def _p(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000


def _point_to(endpoint: str | None) -> Mapping[str, str]:
    return {"WAYPOST_OTEL_ENDPOINT": endpoint} if endpoint else {}


def _ignore(line: bytes) -> None:
    """The ids of the runs that end are not needed."""


async def compare(runs: int, rate: float) -> None:
    table = table_of(f"{runs:,} runs, {rate:g} a second", COLUMNS)
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = await stack.enter_async_context(receiving())
        for name, taker, endpoint in (("off", None, None), ("on", receiver, receiver.url), ("down", None, DEAD)):
            found = await measure(place / name, runs, rate, taker, endpoint)
            milliseconds = [f"{_p(found.accepted, percent):.2f}" for percent in (50, 99)]
            figures = f"{found.cpu / runs * 1000:.2f}", f"{found.peak:.0f}", str(found.spans), f"{found.after:.1f}"
            table.add_row(name, *milliseconds, *figures)
        page().print(table)
        other = await stack.enter_async_context(receiving())
        print(await measure_long(place / "long", other))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3_000)
    parser.add_argument("--rate", type=float, default=100.0, help="webhooks a second")
    given = parser.parse_args()
    uvloop.run(compare(given.runs, given.rate))
