"""A step that gets its output in many pages: `python -m tests.bench.pages [--pages 3000] [--bytes 3000]`.

One run in a service in this process. A page should cost as much at the end as at the beginning, and the memory should
not grow by more than the pages that are stored inline. Then a run that is as large as a step may be, of which the last
page assembles the output.
"""

import argparse
import asyncio
import gc
import resource
import tempfile
import time
from pathlib import Path

from durable.action import Connector, Context, Inputs, action
from durable.page import PAGED_SIZE_LIMIT, Page
from durable.values import JSON
from tests.bench.rounds import page, table_of
from tests.service.running import ENVIRONMENT, running

PIPELINE = """
inputs: {pages: {type: integer}, size: {type: integer}}
steps: [{id: fetch, use: pager.list, with: {pages: "{{ inputs.pages }}", size: "{{ inputs.size }}"}}]
"""
TEXT = 100
"""The bytes of an item, about."""


class Asked(Inputs):
    pages: int
    size: int


class Pager:
    """Lists pages, and notes the CPU time (s) at which each is asked for."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def make_connector(self) -> Connector:
        made = action("list", input=Asked, is_immediate=True, returns_pages=True)(self._list)
        return Connector("pager", "Lists in pages.", (made,))

    async def _list(self, context: Context, input: Asked) -> Page:
        """Return a page."""
        self.times.append(time.process_time())
        number, first = context.page.number, context.page.items
        count = max(1, input.size // TEXT)
        items: list[JSON] = [{"n": n, "text": "x" * (TEXT - 24)} for n in range(first, first + count)]
        return Page(items, next=None if number + 1 == input.pages else number, fingerprint=str(number))


async def perform(pages: int, size: int) -> tuple[list[float], float, float, float]:
    """Return the CPU times of the pages, the seconds from the last page to the end of the run, and the memory (MB)
    before and at most."""
    pager = Pager()
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), {"list": PIPELINE}, ENVIRONMENT, [pager.make_connector()]) as service:
            gc.collect()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            run = (await service.start("list", {"pages": pages, "size": size})).json()["id"]
            while (await service.ask(f"/runs/{run}"))["status"] != "completed":
                await asyncio.sleep(0.2)
            ended = time.process_time()
            assert len(pager.times) == pages
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pager.times, ended - pager.times[-1], before, peak


async def main(pages: int, size: int) -> None:
    table = table_of(
        "Pages of a step",
        ("pages", "bytes", "first: CPU ms", "middle: CPU ms", "last: CPU ms", "end: CPU ms", "RSS before", "peak MB"),
    )
    large = 30_000
    for count, length in ((pages, size), (PAGED_SIZE_LIMIT // (large + large // 10), large)):
        times, end, before, peak = await perform(count, length)
        window = max(1, count // 5)
        prices = [
            (times[start + window - 1] - times[start]) / (window - 1) for start in (0, count // 2, count - window)
        ]
        cells = [f"{price * 1000:.2f}" for price in prices]
        table.add_row(f"{count:,}", f"{length:,}", *cells, f"{end * 1000:.0f}", f"{before:.0f}", f"{peak:.0f}")
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=3_000)
    parser.add_argument("--bytes", type=int, default=3_000)
    given = parser.parse_args()
    asyncio.run(main(given.pages, given.bytes))
