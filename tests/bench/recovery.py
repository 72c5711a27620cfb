"""Recovery: many runs in flight, kill -9, and a new start on the same folder.

    python -m tests.bench.recovery [--runs 10000] [--kinds slow,backoff]

`slow`: the first step waits for a sink that does not answer, or for its turn to call it. `backoff`: it was refused,
and waits for its next attempt. After the restart the sink answers at once. Nothing is lost if the last step of every
accepted webhook calls it; runs a second counts those recovered between `ready` and the last of them.
"""

import argparse
import asyncio
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop
from rich.table import Table

from tests.bench.burst import Burst
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.sink import Sink
from tests.bench.targets import Service, pipelines
from tests.bench.webhooks import Webhooks

CONNECTIONS = 250
MOODS = {"slow": "hold", "backoff": "refuse"}
PATIENT = "defaults: {timeout: 10m, retry: {max_attempts: 90, min_delay: 20s, max_delay: 20s}}\n"
RECOVERED = re.compile(r"recovered (\d+) runs")
COLUMNS = (
    *("what", "in flight", "peak MB", "killed; ready after s", "all taken up after s", "runs/s", "all ended after s"),
    *("CPU s", "peak MB", "lost", "last steps again"),
)


def ignore_line(line: bytes) -> None:
    """Ignore a line of output."""


async def fill(service: Service, runs: int, mood: str) -> tuple[set[bytes], float]:
    """Start `runs` runs that wait, and return the accepted numbers and the peak of memory."""
    burst = Burst()
    await burst.send(service, Webhooks("/hooks/http"), runs, min(CONNECTIONS, runs))
    while mood == "refuse" and await service.metric("waypost_attempts_total") < len(burst.accepted):
        await asyncio.sleep(0.5)
    return burst.accepted, service.peak


def read_recovery(service: Service) -> tuple[float, int]:
    """The end of recovery in seconds since the start, and the number of recovered runs; zeros until then."""
    for at, line in service.messages:
        if found := RECOVERED.search(line):
            return at, int(found[1])
    return 0.0, 0


async def measure(table: Table, kind: str, runs: int) -> None:
    calls: Counter[bytes] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Sink(ignore_line, mood=MOODS[kind]) as sink:
            texts, port = pipelines(sink.port, {"http": "http"}, PATIENT), sink.port
            async with Service(folder, ignore_line, texts=texts) as service:
                accepted, filled = await fill(service, runs, MOODS[kind])
                service.kill()
        async with (
            Sink(lambda number: calls.update([number]), port=port),
            Service(folder, ignore_line) as service,
        ):
            await until(lambda: bool(read_recovery(service)[1]), 600)
            await until(lambda: service.ended >= len(accepted), 600)
            ended = time.perf_counter() - service.began
            at, count = read_recovery(service)
            table.add_row(
                *(kind, f"{count:,}", f"{filled:.0f}", f"{service.ready:.1f}", f"{at:.1f}"),
                *(f"{count / (at - service.ready):,.0f}" if at > service.ready else "-", f"{ended:.1f}"),
                *(f"{service.spent().cpu:.1f}", f"{service.peak:.0f}", str(len(accepted - calls.keys()))),
                str(sum(calls.values()) - len(calls)),
            )


async def main(runs: int, kinds: list[str]) -> None:
    table = table_of("Recovery after kill -9", COLUMNS)
    for kind in kinds:
        await measure(table, kind, runs)
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--kinds", default="slow,backoff")
    given = parser.parse_args()
    uvloop.run(main(given.runs, given.kinds.split(",")))
