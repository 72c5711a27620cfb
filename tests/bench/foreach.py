"""A `foreach` over many items: `python -m tests.bench.foreach [--items 10000] [--max-parallel 1,50]`.

One run in a separate service; its history shows when each item completed. An item should cost as much at the end as at
the beginning. Items have one no-op step.
"""

import argparse
import tempfile
from pathlib import Path

import uvloop
from rich.table import Table

from durable.history.entries import BranchEnded, BranchStarted
from tests.bench.asking import entries, size, start
from tests.bench.curve import Curve
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

PIPELINE = """
inputs: {{items: {{type: array}}}}
steps:
  - id: each
    foreach: inputs.items
    max_parallel: {parallel}
    steps: [{{id: work, use: transform.set, with: {{values: {{n: "{{{{ item }}}}"}}}}}}]
"""
COLUMNS = (
    *("items", "max_parallel", "first: items/s", "CPU ms", "middle: items/s", "CPU ms", "last: items/s", "CPU ms"),
    *("last / first CPU", "whole s", "RSS before", "peak MB", "journal bytes an item"),
)
PATIENCE = 900


def parts(moments: list[float], window: int) -> list[list[float]]:
    """The first, the middle and the last `window` items."""
    middle = (len(moments) - window) // 2
    return [moments[: window + 1], moments[middle : middle + window + 1], moments[-window - 1 :]]


async def measure(table: Table, items: int, parallel: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        ended: list[bytes] = []
        texts = {"each": PIPELINE.format(parallel=parallel)}
        async with Service(Path(name), ended.append, texts=texts) as service:
            before, memory = size(service.data), service.memory
            async with Curve(service) as curve:
                run = await start(service, "each", items=list(range(items)))
                await until(lambda: bool(ended), PATIENCE)
            await service.terminate()
            grown = size(service.data) - before
            history = list(entries(service.data, run))
        began = next(entry.at for entry in history if isinstance(entry, BranchStarted)) / 1000
        moments = [entry.at / 1000 for entry in history if isinstance(entry, BranchEnded)]
        assert len(moments) == items
        prices = [curve.price(part) for part in parts(moments, items // 10)]
        table.add_row(
            *(f"{items:,}", str(parallel), *(cell for price in prices for cell in price.cells())),
            *(f"{prices[-1].cpu / prices[0].cpu:.2f}", f"{moments[-1] - began:.1f}", f"{memory:.0f}"),
            *(f"{curve.peak:.0f}", f"{grown / items:,.0f}"),
        )


async def main(items: int, parallel: list[int]) -> None:
    table = table_of("A foreach; first, middle and last are a tenth of its items", COLUMNS)
    for each in parallel:
        await measure(table, items, each)
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--max-parallel", default="1,50")
    given = parser.parse_args()
    uvloop.run(main(given.items, [int(number) for number in given.max_parallel.split(",")]))
