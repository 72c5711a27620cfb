"""The cost of an idle service: `python -m tests.bench.idle [--seconds 60] [--schedules 0,200]`.

One service for each number of pipelines, each pipeline with a schedule that is due next year; they idle side by side.
"""

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path

import uvloop

from tests.bench.process import Spent
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

SETTLING = 3.0
"""Seconds after `ready` before the look begins."""

PIPELINE = """
triggers:
  - {{id: yearly, use: schedule, with: {{cron: "{minute} 3 1 1 *"}}}}
steps:
  - {{id: note, use: log.write, with: {{message: "a new year"}}}}
"""
COLUMNS = (
    *("pipelines", "RSS MB", "CPU % of a core", "wake-ups a minute", "writes a minute", "bytes written a minute"),
    "bytes flushed a minute",
)


def ignore_run(run: bytes) -> None:
    """Ignore the end of a run; there are none."""


async def main(seconds: float, counts: list[int]) -> None:
    table = table_of(f"An idle service, {seconds:g} s", COLUMNS)
    async with contextlib.AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = []
        for count in counts:
            texts = {f"p{number}": PIPELINE.format(minute=number % 60) for number in range(count)}
            services.append(await stack.enter_async_context(Service(root / str(count), ignore_run, texts=texts)))
        await asyncio.sleep(SETTLING)
        before = [service.spent() for service in services]
        await asyncio.sleep(seconds)
        for count, service, then in zip(counts, services, before, strict=True):
            table.add_row(f"{count:,}", f"{service.memory:.0f}", *cells(service.spent() - then, seconds))
    page().print(table)


def cells(spent: Spent, seconds: float) -> list[str]:
    minutes = seconds / 60
    numbers = (spent.wakes, spent.writes, spent.written, spent.flushed)
    return [f"{spent.cpu / seconds:.2%}", *(f"{number / minutes:,.0f}" for number in numbers)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--schedules", default="0,200")
    given = parser.parse_args()
    uvloop.run(main(given.seconds, [int(count) for count in given.schedules.split(",")]))
