"""The cost of an entry at the end of a long history: `python -m tests.bench.length [--entries 20000]`.

A run of many steps is driven through the pure core as by the runner, without a journal. Its last
entries should cost as much as its first.
"""

import argparse
import gc
import statistics
import time

from durable.cause import describe_run
from durable.decide.advance import Advance
from durable.decide.attempts import report_return
from durable.definition import Definition
from durable.history.encoding import detach_values
from durable.history.entries import Fact, RunStarted
from durable.history.state import State
from durable.steps.resolved import ActionStep, ResolvedPipeline, make_steps
from durable.values import Value
from tests.bench.rounds import page, table_of

NOW = 1_700_000_000_000


def long_pipeline(steps: int) -> Definition:
    """A pipeline whose steps each read an input and the output of the previous step."""

    def step(number: int) -> ActionStep:
        before = f"{{{{ steps.s{number - 1}.output.n }}}}" if number else 0
        given = {"url": "http://sink/", "json": {"name": "{{ inputs.name }}", "before": before}}
        return ActionStep(id=f"s{number}", use="http.post", input=given, timeout=1_000)

    return Definition(ResolvedPipeline(id="long", steps=make_steps(step(number) for number in range(steps))))


def report(definition: Definition, state: State, fact: Fact) -> int:
    """Process a fact as the runner does, without the append, and return the number of entries."""
    advance = Advance(definition, state, fact)
    advance.follow()
    describe_run(definition, state)
    detach_values(advance.entries)
    return len(advance.entries)


def main(entries: int, window: int) -> None:
    definition, state = long_pipeline(entries // 2), State(run="run_1")
    inputs = Value.of({"name": "Ada", "text": "x" * 1000})
    started = RunStarted(at=NOW, pipeline="long", version=definition.version, deadline=2 * NOW, inputs=inputs)
    costs: list[tuple[int, float]] = []
    report(definition, state, started)
    gc.freeze()
    for number in range(entries // 2):
        began = time.process_time_ns()
        fact = report_return(definition, state, f"s{number}", 1, {"n": number}, started_at=NOW, at=NOW)
        count = report(definition, state, fact)
        costs.append((state.entries, (time.process_time_ns() - began) / count / 1000))
    assert state.finished
    table = table_of("The pure core, µs of CPU an entry", ("what", "entries", "median µs", "mean µs"))
    for name, low in (("first", 0), ("middle", entries // 2), ("last", entries - window)):
        found = [cost for entry, cost in costs if low < entry <= low + window]
        table.add_row(
            name, f"{low:,} … {low + window:,}", f"{statistics.median(found):.1f}", f"{statistics.mean(found):.1f}"
        )
    page().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=1_000)
    given = parser.parse_args()
    main(given.entries, given.window)
