"""Whether memory grows with runs: `python -m tests.bench.memory [--runs 100000] [--in-flight 64]`.

No-op runs go through a service in a closed loop; a line is printed ten times on the way, and the growth at the end.
"""

import argparse
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console

from tests.bench.load import Latencies, Load
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service, pipelines
from tests.bench.webhooks import Webhooks

LINES = 10


async def main(runs: int, in_flight: int) -> None:
    load, console = Load(), Console()
    table = table_of(
        f"Memory over {runs:,} no-op runs", ("runs", "RSS MB", "since the first tenth", "runs/s", "CPU ms a run")
    )
    with tempfile.TemporaryDirectory() as folder:
        async with Service(Path(folder), load.freed, texts=pipelines(0, {"noop": "noop"})) as service:
            console.print(f"at the start: {service.memory:.1f} MB", highlight=False)
            first = 0.0
            for number in range(1, LINES + 1):
                before, webhooks = service.spent(), Webhooks("/hooks/noop")
                sent, took = await load.run(
                    service.port, webhooks, in_flight, key="run", latencies=Latencies(), limit=runs // LINES
                )
                memory, cpu = service.memory, (service.spent() - before).cpu
                first = first or memory
                done, rate = f"{number * sent:,}", f"{sent / took:,.0f}"
                console.print(f"{done} runs: {memory:.1f} MB, {rate} runs/s", highlight=False)
                grown = (memory - first) * 2**20 / ((number - 1) * sent or 1)
                table.add_row(
                    *(done, f"{memory:.1f}", f"{memory - first:+.1f} MB, {grown:+.1f} bytes a run", rate),
                    f"{cpu * 1000 / sent:.2f}",
                )
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, default=64)
    given = parser.parse_args()
    uvloop.run(main(given.runs, given.in_flight))
