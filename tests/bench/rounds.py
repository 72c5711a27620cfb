"""Short alternating rounds, so that fluctuations of the machine affect all targets; and the table of results."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from tests.bench.load import Key, Latencies, Load
from tests.bench.process import Process, Spent
from tests.bench.targets import Target
from tests.bench.webhooks import Webhooks

COLUMNS = (
    *("steps", "in flight", "who", "runs/s", "Waypost: rate, CPU", "202 ms p50/95/99", "last step ms p50/95/99"),
    *("CPU ms", "bench's", "peak MB", "KB a run", "commits"),
)

NOTES = (
    "Waypost: its runs/s as a share of that bare loop's, and its CPU as a multiple, which other work disturbs less.",
    "CPU, KB and commits are of a run. CPU ms: of the process that is measured; bench's: of the load and the sink.",
    "KB: made dirty on the way to the disk, journal and its checkpoints. Commits: flushes of the WAL, shared by runs.",
)


@dataclass
class Figures:
    """The totals of all rounds of one target."""

    runs: int = 0
    seconds: float = 0.0
    spent: Spent = field(default_factory=Spent)
    bench: float = 0.0
    commits: float = 0.0
    peak: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def rate(self) -> float:
        return self.runs / self.seconds if self.seconds else 0.0

    @property
    def cost(self) -> float:
        """CPU milliseconds a run."""
        return self.spent.cpu * 1000 / (self.runs or 1)

    def cells(self) -> list[str]:
        """The cells from the latencies on."""
        runs = self.runs or 1
        return [
            *(quantiles(self.latencies.accepted), quantiles(self.latencies.finished)),
            *(f"{self.cost:.2f}", f"{self.bench * 1000 / runs:.2f}", f"{self.peak:.0f}"),
            *(f"{self.spent.flushed / 1000 / runs:.1f}", f"{self.commits / runs:.2f}"),
        ]


@dataclass(frozen=True)
class Place:
    """A target, the path of its webhook, and the key that frees a slot."""

    target: Target
    path: str
    key: Key


class Rounds:
    """Drives targets with one load; `sinks` are the bench's own processes."""

    def __init__(self, load: Load, sinks: Sequence[Process]) -> None:
        self._load = load
        self._sinks = sinks

    async def measure(
        self, places: Sequence[Place], in_flight: int, seconds: float, *, rounds: int = 4, size: int = 1024
    ) -> list[Figures]:
        """Measure each target for `seconds` in `rounds` rounds, every other round in reverse order."""
        found = [Figures() for _ in places]
        for place in places:
            place.target.forget_peak()
            await self._round(place, Figures(), in_flight, min(0.3, seconds / rounds), size)
        for number in range(rounds):
            for place, figures in list(zip(places, found, strict=True))[:: -1 if number % 2 else 1]:
                await self._round(place, figures, in_flight, seconds / rounds, size)
        return found

    async def _round(self, place: Place, figures: Figures, in_flight: int, seconds: float, size: int) -> None:
        target, ended = place.target, place.target.ended
        commits = await target.metric("waypost_commits_total")
        before, bench = target.spent(), self._bench()
        webhooks, latencies = Webhooks(place.path, size), figures.latencies
        try:
            runs, took = await self._load.run(
                target.port, webhooks, in_flight, key=place.key, latencies=latencies, seconds=seconds
            )
            await target.settle(ended + runs)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise RuntimeError(f"{target.name} failed; the last that it said: {target.said}") from error
        figures.spent += target.spent() - before
        figures.bench += self._bench() - bench
        figures.commits += await target.metric("waypost_commits_total") - commits
        figures.peak = target.peak
        figures.runs += runs
        figures.seconds += took

    def _bench(self) -> float:
        return time.process_time() + sum(sink.spent().cpu for sink in self._sinks)


def quantiles(seconds: Sequence[float]) -> str:
    """The 50th, 95th and 99th percentile in milliseconds."""
    if len(seconds) < 2:
        return "-"
    cuts = statistics.quantiles(seconds, n=100)
    return " / ".join(f"{cuts[at - 1] * 1000:.1f}" for at in (50, 95, 99))


def table_of(title: str, columns: Sequence[str] = COLUMNS) -> Table:
    table = Table(title=f"{title} ({os.cpu_count()} cores)")
    for column in columns:
        table.add_column(column, justify="left" if column in {"steps", "who", "what"} else "right", no_wrap=True)
    return table


def add_rows(table: Table, steps: str, in_flight: int, places: Sequence[Place], found: Sequence[Figures]) -> None:
    """Add a row per target: the first is Waypost, the others are its references."""
    service = found[0]
    for place, figures in zip(places, found, strict=True):
        share = "" if figures is service else f"{service.rate / figures.rate:.0%}, {service.cost / figures.cost:.1f}×"
        table.add_row(steps, str(in_flight), place.target.name, f"{figures.rate:,.0f}", share, *figures.cells())
    table.add_section()


def page() -> Console:
    """A console wide enough for the tables, whatever the terminal."""
    return Console(width=200)


def show(table: Table, *notes: str) -> None:
    """Print a table of `COLUMNS` with an explanation of the columns."""
    console = page()
    console.print(table)
    for note in (*NOTES, *notes):
        console.print(note, highlight=False)
