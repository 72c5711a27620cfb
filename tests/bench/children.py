"""The cost of called runs: `python -m tests.bench.children [--children 1000] [--pauses 0s,1s]`.

A `foreach` calls a pipeline of one no-op step for each item; the last child should cost as much as the first. With a
pause each child waits before it ends, so that its caller is idle meanwhile and may be evicted.
"""

import argparse
import tempfile
from pathlib import Path

import uvloop
from rich.table import Table

from durable.history.entries import ChildEnded
from tests.bench.asking import entries, size, start
from tests.bench.curve import Curve
from tests.bench.foreach import PATIENCE, parts
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

CHILD = """
inputs: {{n: {{type: integer}}}}
steps:
  - {{id: nap, use: wait.delay, with: {{for: {pause}}}}}
  - {{id: work, use: transform.set, with: {{values: {{n: "{{{{ inputs.n }}}}"}}}}}}
outputs: {{n: "{{{{ steps.work.output.n }}}}"}}
"""
PARENT = """
inputs: {{items: {{type: array}}}}
steps:
  - id: each
    foreach: inputs.items
    max_parallel: {parallel}
    steps: [{{id: call, use: flow.call, with: {{pipeline: child, inputs: {{n: "{{{{ item }}}}"}}}}}}]
outputs: {{sum: "{{{{ steps.each.output | map(attribute='steps.call.output.n') | sum }}}}"}}
"""
COLUMNS = (
    *("children", "max_parallel", "pause", "first: a second", "CPU ms", "middle: a second", "CPU ms"),
    *("last: a second", "CPU ms", "last / first CPU", "RSS before", "peak MB", "journal bytes a child"),
)


async def measure(table: Table, children: int, parallel: int, pause: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        ended: list[bytes] = []
        texts = {"child": CHILD.format(pause=pause), "parent": PARENT.format(parallel=parallel)}
        async with Service(Path(name), ended.append, texts=texts) as service:
            before, memory = size(service.data), service.memory
            async with Curve(service) as curve:
                run = await start(service, "parent", items=list(range(children)))
                await until(lambda: run.encode() in ended[-1:], PATIENCE)
            await service.terminate()
            grown = size(service.data) - before
            history = list(entries(service.data, run))
    moments = [entry.at / 1000 for entry in history if isinstance(entry, ChildEnded)]
    assert len(moments) == children
    prices = [curve.price(part) for part in parts(moments, children // 5)]
    table.add_row(
        *(f"{children:,}", str(parallel), pause, *(cell for price in prices for cell in price.cells())),
        *(f"{prices[-1].cpu / prices[0].cpu:.2f}", f"{memory:.0f}", f"{curve.peak:.0f}", f"{grown / children:,.0f}"),
    )


async def main(children: int, parallel: int, pauses: list[str]) -> None:
    table = table_of("Called runs; first, middle and last are a fifth of them", COLUMNS)
    for pause in pauses:
        await measure(table, children, parallel, pause)
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=1_000)
    parser.add_argument("--max-parallel", type=int, default=100)
    parser.add_argument("--pauses", default="0s,1s")
    given = parser.parse_args()
    uvloop.run(main(given.children, given.max_parallel, given.pauses.split(",")))
