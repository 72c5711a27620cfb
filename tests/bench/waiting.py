"""The cost of many idle waiting runs: `python -m tests.bench.waiting [--runs 100000]`.

Each waits for an event about its own subject. A service with them is measured in alternation with one on an empty
journal: its time to ready, its memory, its idle CPU, and W3's load (see `tests.bench.w3`); then the cost of an
event for which one of them, or none, waits.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop

from tests.bench.asking import send_event, size
from tests.bench.curve import Curve
from tests.bench.load import Load
from tests.bench.process import until
from tests.bench.rounds import Figures, Place, Rounds, page, table_of
from tests.bench.sink import Sink
from tests.bench.stored import compile_definition, fill
from tests.bench.targets import Service, Target, pipelines

PIPELINE = """
inputs: {n: {type: integer}}
steps:
  - id: shipped
    use: wait.event
    with: {type: parcel.shipped, match: "{{ inputs.n }}"}
    timeout: 7d
    on_timeout: fail
"""
EVENTS = 50
STARTS = 3
COLUMNS = (
    *("what", "waiting", "journal MB", "ready after s", "CPU s", "RSS MB", "peak MB", "idle CPU ms/s"),
    *("noop runs/s", "CPU ms a run", "http runs/s", "CPU ms a run", "event for one: CPU ms", "for none: CPU ms"),
)
IDLE_SECONDS = 5


class Started(NamedTuple):
    """The cost of a start until the service is ready: CPU seconds, elapsed seconds and megabytes."""

    cpu: float
    ready: float
    memory: float


async def measure_start(folders: dict[str, Path], texts: dict[str, str], load: Load) -> dict[str, Started]:
    """The cheapest of several alternating starts on each folder."""
    found: dict[str, list[Started]] = {name: [] for name in folders}
    for _ in range(STARTS):
        for name, folder in folders.items():
            async with Service(folder, load.freed, texts=texts) as service:
                found[name].append(Started(service.spent().cpu, service.ready, service.memory))
                await service.terminate()
    return {name: min(starts) for name, starts in found.items()}


async def event_cost(service: Service, subjects: Sequence[str]) -> float:
    """CPU milliseconds of an event; the runs that wait for it end."""
    before, ended = service.spent().cpu, service.ended
    waited = [subject for subject in subjects if subject.isdigit()]
    for subject in subjects:
        await send_event(service, type="parcel.shipped", subject=subject)
    await until(lambda: service.ended >= ended + len(waited))
    return (service.spent().cpu - before) * 1000 / len(subjects)


async def idle_cost(service: Service) -> float:
    """CPU milliseconds a second of an idle service."""
    async with Curve(service) as curve:
        began = time.time()
        await until(lambda: time.time() > began + IDLE_SECONDS)
    return curve.price([began, time.time()]).cpu / IDLE_SECONDS


async def main(runs: int, seconds: float, in_flight: int) -> None:
    table = table_of(f"{runs:,} runs that wait for events, beside an empty journal", COLUMNS)
    load = Load()
    async with contextlib.AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = await stack.enter_async_context(Sink(load.freed))
        texts = pipelines(sink.port, {"http": "http", "noop": "noop"}) | {"waits": PIPELINE}
        folders = {"empty": root / "empty", "full": root / "full"}
        for folder in folders.values():
            (folder / "data").mkdir(parents=True)
        now = int(time.time() * 1000)
        await fill(
            folders["full"] / "data", compile_definition("waits", PIPELINE), runs, now, lambda number: {"n": number}
        )
        stored = {name: size(folder / "data") / 2**20 for name, folder in folders.items()}
        starts = await measure_start(folders, texts, load)
        services = {
            name: await stack.enter_async_context(Service(folder, load.freed, name=name, texts=texts))
            for name, folder in folders.items()
        }
        idle = {name: await idle_cost(service) for name, service in services.items()}
        rounds = Rounds(load, [sink])
        found: dict[str, list[Figures]] = {name: [] for name in services}
        for kind, key in (("noop", "run"), ("http", "number")):
            targets: list[Target] = list(services.values())
            places = [Place(target, f"/hooks/{kind}", key) for target in targets]  # type: ignore[arg-type]  # as above
            for name, figures in zip(services, await rounds.measure(places, in_flight, seconds), strict=True):
                found[name].append(figures)
        for name, service in services.items():
            begun = starts[name]
            one = await event_cost(service, [str(number) for number in range(EVENTS)]) if name == "full" else None
            none = await event_cost(service, ["nobody"] * EVENTS)
            table.add_row(
                *(name, f"{runs if name == 'full' else 0:,}", f"{stored[name]:.1f}"),
                *(
                    f"{begun.ready:.1f}",
                    f"{begun.cpu:.2f}",
                    f"{begun.memory:.0f}",
                    f"{service.peak:.0f}",
                    f"{idle[name]:.1f}",
                ),
                *(cell for each in found[name] for cell in (f"{each.rate:,.0f}", f"{each.cost:.2f}")),
                *("-" if one is None else f"{one:.2f}", f"{none:.2f}"),
            )
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8, help="of W3's load for each service and kind")
    parser.add_argument("--in-flight", type=int, default=64)
    given = parser.parse_args()
    uvloop.run(main(given.runs, given.seconds, given.in_flight))
