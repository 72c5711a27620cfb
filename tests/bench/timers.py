"""Timers that are all due when a service restarts: `python -m tests.bench.timers [--runs 100000]`.

Many runs wait in a `wait.delay` when the service stops, and the delays end before the next start. Each tenth of
them should take as long as the previous one.
"""

import argparse
import tempfile
import time
from pathlib import Path

import uvloop

from tests.bench.asking import size
from tests.bench.curve import Curve, Price
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.stored import compile_definition, fill
from tests.bench.targets import Service

PIPELINE = """
inputs: {n: {type: integer}}
steps:
  - {id: nap, use: wait.delay, with: {for: 1h}}
  - {id: after, use: transform.set, with: {values: {n: "{{ inputs.n }}"}}}
"""
HOUR = 3_600_000
PATIENCE = 900
TENTHS = 10


async def main(runs: int) -> None:
    text = f"{runs:,} runs in a wait.delay, due at the start of the service"
    table = table_of(text, ("what", "runs/s", "CPU ms a run", "RSS MB then"))
    definition = compile_definition("nap", PIPELINE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        began = time.perf_counter()
        await fill(folder / "data", definition, runs, int(time.time() * 1000) - HOUR, lambda n: {"n": n})
        filled, stored = time.perf_counter() - began, size(folder / "data")
        moments: list[float] = []
        memory: list[float] = []

        def ended(run: bytes) -> None:
            moments.append(time.time())
            if len(moments) % (runs // TENTHS) == 0:
                memory.append(service.memory)

        service = Service(folder, ended, texts={"nap": PIPELINE})
        async with Curve(service) as curve, service:
            began = time.time()
            await until(lambda: len(moments) >= runs, PATIENCE)
        prices: list[Price] = []
        part = runs // TENTHS
        for tenth in range(TENTHS):
            moments_of = moments[tenth * part : (tenth + 1) * part + 1]
            prices.append(curve.price(moments_of))
            table.add_row(f"{tenth + 1}0 %", *prices[-1].cells(), f"{memory[tenth]:.0f}")
    table.add_section()
    table.add_row("all", f"{runs / (moments[-1] - began):,.0f}", f"{sum(p.cpu for p in prices) / TENTHS:.2f}", "")
    page().print(table)
    print(
        f"filled in {filled:.1f} s ({stored / runs:,.0f} bytes a run); ready after {service.ready:.1f} s, the first"
        f" {moments[0] - began:.1f} s later; the last tenth costs {prices[-1].cpu / prices[1].cpu:.2f} of the second;"
        f" peak {curve.peak:.0f} MB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    given = parser.parse_args()
    uvloop.run(main(given.runs))
