"""Open pages beside new work: `python -m tests.bench.live_pages [--pages 20] [--arrivals 50]`.

Webhooks arrive at a fixed rate; in every other round, tabs of the dashboard are open and follow them: the list of runs,
that of deliveries, a pipeline, a run that waits. `same` tabs show these four, so that each is rendered once for all
of its tabs; `different` tabs have an address each. The table has the latencies of the webhooks (202), the CPU time of
the service a second, and what the tabs got.
"""

import argparse
import asyncio
import html
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvloop

from tests.bench.asking import start
from tests.bench.bulk import Arrivals, arriving, ask, ignore_line, percentile
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

COLUMNS = ("pages", "202s", "p50 ms", "p99 ms", "worst ms", "CPU ms/s", "changes/s a page", "KB/s a page")

PIPELINES = {
    "new": """
triggers:
  - {id: hook, use: webhook, with: {path: /new, verify: none}, inputs: {n: "{{ trigger.body.n }}"}}
inputs: {n: {type: integer}}
steps:
  - {id: one, use: transform.set, with: {values: {n: "{{ inputs.n }}"}}}
  - {id: two, use: transform.set, with: {values: {n: "{{ inputs.n + 1 }}"}}}
""",
    "ask": "steps: [{id: ask, use: wait.approval, with: {title: Ship?, to: ops}, timeout: 2d, on_timeout: fail}]\n",
}


@dataclass
class Tabs:
    """Open pages, and what they got."""

    changes: int = 0
    size: int = 0
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def follow(self, client: httpx.AsyncClient, path: str, opened: asyncio.Semaphore) -> None:
        """Load a page and read its stream until cancelled."""
        shown = (await client.get(path, headers={"Accept": "text/html"})).raise_for_status().text
        found = re.search(r'data-stream="([^"]*)"', shown)
        assert found, path
        async with client.stream("GET", html.unescape(found[1]), timeout=None) as stream:
            stream.raise_for_status()
            opened.release()
            async for part in stream.aiter_raw():
                self.changes += part.count(b"event: swap")
                self.size += len(part)


@dataclass
class Figures:
    """The sums of some rounds."""

    accepted: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0
    changes: int = 0
    size: int = 0

    def describe(self, name: str, pages: int) -> list[str]:
        took = sorted(each * 1000 for each in self.accepted)
        got = [self.changes / self.seconds / pages, self.size / 1000 / self.seconds / pages] if pages else []
        return [
            *(name, f"{len(took):,}", f"{percentile(took, 50):.2f}", f"{percentile(took, 99):.1f}", f"{took[-1]:.1f}"),
            f"{self.cpu * 1000 / self.seconds:.0f}",
            *(f"{each:.1f}" for each in got),
        ]


@asynccontextmanager
async def opened(service: Service, paths: Sequence[str]) -> AsyncIterator[Tabs]:
    """Tabs with these pages, open for as long as the block lasts."""
    tabs, ready = Tabs(), asyncio.Semaphore(0)
    async with ask(service) as client, asyncio.TaskGroup() as group:
        following = [group.create_task(tabs.follow(client, path, ready)) for path in paths]
        for _ in paths:
            await ready.acquire()
        yield tabs
        for task in following:
            task.cancel()


async def measure(figures: Figures, service: Service, paths: Sequence[str], rate: float, seconds: float) -> None:
    """Add a round."""
    async with opened(service, paths) as tabs, arriving(service, rate) as arrivals:
        await asyncio.sleep(1)  # the first requests load what later ones have
        before, number, changes, size = service.spent().cpu, len(arrivals.sent), tabs.changes, tabs.size
        await asyncio.sleep(seconds)
        figures.cpu += service.spent().cpu - before
        figures.changes += tabs.changes - changes
        figures.size += tabs.size - size
        figures.seconds += seconds
    add_accepted(figures, arrivals, number)


def add_accepted(figures: Figures, arrivals: Arrivals, first: int) -> None:
    """Add the webhooks from a number on."""
    assert not arrivals.lost
    figures.accepted += [took for number, took in arrivals.accepted.items() if number >= first]


def list_pages(run: str, pages: int, *, are_different: bool) -> list[str]:
    """The pages of the tabs."""
    kinds = ("/runs", "/deliveries", "/pipelines/new", f"/runs/{run}")
    ends = ("?limit={n}", "?from={n}d", "?n={n}", "?n={n}")
    return [kinds[n % 4] + (ends[n % 4].format(n=n + 1) if are_different else "") for n in range(pages)]


async def main(pages: int, rate: float, seconds: float, rounds: int) -> None:
    found = {"none": Figures(), f"{pages} the same": Figures(), f"{pages} different": Figures()}
    with tempfile.TemporaryDirectory() as name:
        async with Service(Path(name), ignore_line, texts=PIPELINES) as service:
            run = await start(service, "ask")
            shown = [[], *(list_pages(run, pages, are_different=different) for different in (False, True))]
            for _ in range(rounds):
                for figures, paths in zip(found.values(), shown, strict=True):
                    await measure(figures, service, paths, rate, seconds)
    table = table_of(f"{rate:g} webhooks a second beside open pages", COLUMNS)
    for (text, figures), paths in zip(found.items(), shown, strict=True):
        table.add_row(*figures.describe(text, len(paths)))
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--arrivals", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    uvloop.run(main(given.pages, given.arrivals, given.seconds, given.rounds))
