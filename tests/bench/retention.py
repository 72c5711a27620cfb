"""What retention costs, and what it keeps the file at: `python -m tests.bench.retention --runs 100000`.

Runs of three steps arrive over two hours of moved time and are kept for an hour. The first hour passes as fast as it
can; in the second, each minute lasts two seconds, lists are read and small units are committed, and both are timed. The
same is done without retention, to compare.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

from durable.history.entries import AnyEntry, RunFinished, RunStarted, StepCompleted, StepScheduled
from durable.history.words import EndStatus
from durable.ids import make_id
from durable.journal.journal import Journal
from durable.retention import RetentionPolicy
from durable.runner.retention import Retention
from durable.units import Admission, Event, NewRun, RunView, SideEffects
from durable.values import Value

HOUR = 3_600_000
START = 1_800_000_000_000
MINUTES = 120
"""Minutes of moved time."""

PACE = 2.0
"""Seconds that a minute of the second hour lasts."""

BODY = Value.of({"order": {"id": "A-1001", "lines": [{"sku": f"SKU-{n}", "count": n, "price": 9.9} for n in range(8)]}})


class Clock:
    """Moved time, in ms."""

    at = START

    def __call__(self) -> int:
        return self.at


class Policies:
    """One policy for all pipelines."""

    def __init__(self, age: int | None) -> None:
        self._policy = RetentionPolicy(age, age, age)

    def find_policy(self, pipeline: str) -> RetentionPolicy:
        return self._policy


def make_entries(at: int) -> list[AnyEntry]:
    entries: list[AnyEntry] = [RunStarted(at=at, pipeline="orders", version="v1", deadline=at + HOUR, inputs=BODY)]
    for path in ("reserve", "charge", "tell"):
        entries.append(StepScheduled(at=at, path=path, input=BODY))
        entries.append(StepCompleted(at=at + 5, path=path, attempt=1, output=Value.of({"status": 200, "id": path})))
    return entries


async def add_run(journal: Journal, at: int, number: int) -> None:
    """A run of three steps: its admission, and one append for all that follows."""
    run, event = make_id("run", at, number), make_id("evt", at, number)
    started, *rest = make_entries(at)
    new = NewRun(run, f"orders_{number % 5}", "v1", "shop", at, [started], RunView("running", due_at=at))
    await journal.admit(Admission(Event(event, "shop", event, "order", at, None, BODY), [new]))
    status: EndStatus = "failed" if number % 10 == 0 else "completed"
    end = [*rest, RunFinished(at=at + 10, status=status)]
    view = RunView(status, finished_at=at + 10)
    await journal.append(run, 1, 1, end, view, side_effects=SideEffects(has_ended=True))


async def probe(work: Callable[[], Awaitable[object]], times: list[float]) -> None:
    """Do something again and again, and note the milliseconds that it takes."""
    while True:
        began = perf_counter()
        await work()
        times.append((perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)


async def keep_removing(keeper: Retention, removed: list[int]) -> None:
    """Make one pass after the other, as long as runs arrive."""
    while True:
        removed.append(sum((await keeper.make_pass()).values()))
        await asyncio.sleep(0.1)


async def pass_by(journal: Journal, clock: Clock, age: int | None, runs: int, pace: float) -> None:
    """Let the minutes pass; each brings runs, and in the second hour retention makes its passes."""
    keeper = Retention(
        journal,
        Policies(age),
        delivery_age=age,
        event_age=age,
        audit_age=None,
        needs_version=lambda version: True,
        now=clock,
    )
    lists: list[float] = []
    commits: list[float] = []
    removed: list[int] = []
    sizes: list[int] = []
    tasks: list[asyncio.Task[None]] = []
    each, late = runs // MINUTES, 0.0
    for minute in range(MINUTES):
        began = perf_counter()
        if minute == MINUTES // 2:
            tasks = [
                asyncio.create_task(keep_removing(keeper, removed)),
                asyncio.create_task(probe(lambda: journal.list_runs(limit=50, status="failed"), lists)),
                asyncio.create_task(probe(lambda: journal.keep_note("probe", "x"), commits)),
            ]
        for start in range(0, each, 25):
            numbers = range(minute * each + start, minute * each + min(start + 25, each))
            await asyncio.gather(*(add_run(journal, clock.at, number) for number in numbers))
            if tasks:
                await asyncio.sleep(max(0, began + pace * start / each - perf_counter()))
        late += max(0, perf_counter() - began - pace) if tasks else 0
        clock.at += 60_000
        if minute % 10 == 9:
            sizes.append((await journal.measure_space()).database)
    for task in tasks:
        task.cancel()
    space = await journal.measure_space()
    name = "kept for ever" if age is None else "kept for an hour"
    print(f"{name}: {each * MINUTES} runs, {each / pace:.0f} a second; {sum(removed)} rows removed")
    print("  MB after each 10 minutes:", *(f"{size / 1e6:.0f}" for size in sizes), f"(free: {space.free / 1e6:.0f})")
    print(f"  arrivals were late by {late:.1f} s altogether")
    print_times("list of 50 failed runs", lists)
    print_times("commit of a small unit", commits)


def print_times(what: str, times: list[float]) -> None:
    cuts = statistics.quantiles(times, n=100)
    print(
        f"  {what}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, most {max(times):.1f} ms ({len(times)})", flush=True
    )


async def measure(runs: int, pace: float) -> None:
    for age in (None, HOUR):
        with tempfile.TemporaryDirectory() as folder:
            journal = await Journal.open(Path(folder), node="node-1", on_fatal=print)
            await pass_by(journal, Clock(), age, runs, pace)
            await journal.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--pace", type=float, default=PACE)
    given = parser.parse_args()
    asyncio.run(measure(given.runs, given.pace))
