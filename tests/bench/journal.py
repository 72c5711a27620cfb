"""The cost of a unit: `python -m tests.bench.journal [SECONDS]` prints units a second and CPU time a unit.

Callers wait for their commit before they request the next, as runs do: 1, 16, 64 and 256 at a time. An admission
here is an event with a dedupe key, a delivery and one run; an append is a checkpoint that schedules the next step.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from durable.history.entries import AnyEntry, RunStarted, StepCompleted, StepScheduled
from durable.journal.journal import Journal
from durable.units import Admission, DedupeKey, Delivery, Event, NewRun, RunView
from durable.values import Value

DATA = Value.of({"order": 4711, "customer": {"name": "Ada", "mail": "ada@example.com"}, "text": "x" * 400})
HEAD = b'{"path":"/hooks/orders","query":"","headers":[["content-type","application/json"],["x-request","0123456789"]]}'
BODY = bytes(DATA.data)
VIEW = RunView("running", due_at=2_000_000_000_000)
NOW = 1_800_000_000_000
_numbers = itertools.count()


def admission() -> Admission:
    number = f"{next(_numbers):026d}"
    run = f"run_{number}"
    entries: list[AnyEntry] = [
        RunStarted(at=NOW, pipeline="orders", version="v" * 64, deadline=NOW + 1000, inputs=DATA),
        StepScheduled(at=NOW, path="reserve", input=DATA),
    ]
    return Admission(
        Event(f"evt_{number}", "orders/hooks/orders", number, "order.paid", NOW, data=DATA),
        [NewRun(run, "orders", "v" * 64, "orders", NOW, entries, VIEW)],
        [DedupeKey("orders", number, NOW + 1000)],
        Delivery(f"dlv_{number}", "orders", "/hooks/orders", "POST", NOW, "accepted", kept=600, head=HEAD, body=BODY),
    )


async def admit_forever(journal: Journal, count: Callable[[], bool]) -> None:
    while count():
        await journal.admit(admission())


async def append_forever(journal: Journal, count: Callable[[], bool]) -> None:
    run, after = (await journal.admit(admission())).runs[0], 2
    while count():
        entries: list[AnyEntry] = [
            StepCompleted(at=NOW, path=f"step[{after}]", started_at=NOW, output=DATA),
            StepScheduled(at=NOW, path=f"step[{after + 1}]", input=DATA),
        ]
        await journal.append(run, 1, after, entries, VIEW)
        after += len(entries)


async def measure(
    work: Callable[[Journal, Callable[[], bool]], Awaitable[None]], waiting: int, seconds: float
) -> tuple[float, float]:
    """Units a second, and CPU microseconds a unit (event loop and writer together)."""
    with tempfile.TemporaryDirectory() as folder:
        journal = await Journal.open(Path(folder), node="bench", on_fatal=print)
        units = 0
        began, cpu = time.perf_counter(), time.process_time()

        def count() -> bool:
            nonlocal units
            units += 1
            return time.perf_counter() - began < seconds

        await asyncio.gather(*(work(journal, count) for _ in range(waiting)))
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
        await journal.close()
        return units / elapsed, cpu / units * 1e6


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    print(f"{'unit':8}{'waiting':>8}{'units/s':>10}{'CPU µs':>8}")
    for name, work in (("admit", admit_forever), ("append", append_forever)):
        for waiting in (1, 16, 64, 256):
            rate, cpu = asyncio.run(measure(work, waiting, seconds))
            print(f"{name:8}{waiting:8}{rate:10,.0f}{cpu:8.0f}")


if __name__ == "__main__":
    main()
