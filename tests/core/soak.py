"""A soak test of the core: seeded random runs, one after the other, each checked against every invariant.

    python -m tests.core.soak --steps 1000000 --seed 1

A violation is printed with the seed of its run; `--only SEED` performs that run alone and prints its pipeline and
history.
"""

import argparse
import contextlib
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from durable.blocks import loops
from tests.core.chance import Chance
from tests.core.invariants import AT_EVERY_STEP, AT_THE_END
from tests.core.pipelines import make_pipeline
from tests.core.world import T0, Beginning, World

BREATH = 12
"""Decisions after which a loop pauses here, so that short histories meet it."""

LUCK = (30, 30, 100)

LOOK_EVERY = 4
"""The number of appends between two checks of the invariants for every step."""


@dataclass
class Violation:
    """A violated invariant: how often, and the shortest run that violates it."""

    message: str
    seed: int
    length: int
    count: int = 0


@dataclass
class Tally:
    """Counts of what was tried."""

    runs: int = 0
    steps: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    constructs: Counter[str] = field(default_factory=Counter)
    violations: dict[str, Violation] = field(default_factory=dict)

    def count(self, world: World, steps: int) -> None:
        self.runs += 1
        self.steps += steps
        self.seen += world.seen
        self.ends[world.state.status] += 1
        for path in world.state.steps:
            spec = world.definition.nodes[path].step
            self.constructs[getattr(spec, "use", type(spec).__name__)] += 1

    def note(self, seed: int, error: Exception, hold: Sequence[World]) -> None:
        """Record a violation, identified by where it was raised."""
        length = sum(len(str(each.definition.data)) // 60 + len(each.history) for each in hold)
        self.steps += sum(len(each.units) for each in hold)
        frames = traceback.extract_tb(error.__traceback__)
        place = " ".join(f"{frame.name}:{frame.lineno}" for frame in frames[-2:])
        found = self.violations.setdefault(
            f"{type(error).__name__} in {place}", Violation(str(error)[:200], seed, length)
        )
        found.count += 1
        if length < found.length:
            found.seed, found.length, found.message = seed, length, str(error)[:200]


class Watch:
    """Checks the invariants after every append, or after every `every`th."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._count = 0

    def __call__(self, world: World) -> None:
        self._count += 1
        if self._count % self._every == 0:
            for invariant in AT_EVERY_STEP:
                invariant(world)


class Stuck(AssertionError):
    """A run that cannot reach its end."""


def live_run(chance: Chance, every: int = LOOK_EVERY, hold: list[World] | None = None) -> tuple[World, int]:
    """Perform a random run to its end, checking every invariant; returns it and its number of steps."""
    loops.BURST = BREATH
    world = World(make_pipeline(chance), Beginning.generate(chance), Watch(every), luck=chance.pick(LUCK))
    if hold is not None:
        hold.append(world)
    world.begin()
    steps = 2 + chance.below(40)
    for _ in range(steps):
        world.go_on(chance)
        if world.is_over and world.state.status != "failed":
            break
    world.drive(chance)
    if not world.is_over:
        raise Stuck(f"the run is {world.state.status}, with {list(world.state.active)} under way")
    for invariant in (*AT_EVERY_STEP, *AT_THE_END):
        invariant(world)
    return world, len(world.units)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="perform the run of this seed alone")
    given = parser.parse_args(arguments)
    if given.only is not None:
        return _run_seed(given.only)
    tally, began = Tally(), time.process_time()
    seed = given.seed * 10_000_000
    with contextlib.suppress(KeyboardInterrupt):
        while tally.steps < given.steps:
            _try(tally, seed)
            seed += 1
    _print_tally(tally, given.seed, began)
    return 1 if tally.violations else 0


def _try(tally: Tally, seed: int) -> None:
    hold: list[World] = []
    try:
        world, steps = live_run(Chance.from_seed(seed), hold=hold)
        tally.count(world, steps)
    except Exception as error:  # noqa: BLE001  # any exception from the core is a violation
        tally.note(seed, error, hold)


def _run_seed(seed: int) -> int:
    hold: list[World] = []
    try:
        live_run(Chance.from_seed(seed), 1, hold)
    except Exception:  # noqa: BLE001  # as above
        _print_run(hold)
        traceback.print_exc(file=sys.stdout)
        return 1
    _print_run(hold)
    return 0


def _print_tally(tally: Tally, seed: int, began: float) -> None:
    print(f"{tally.steps:,} steps in {tally.runs:,} runs, seed {seed}, {time.process_time() - began:.0f} s of CPU")
    for title, counted in (("ends", tally.ends), ("constructs", tally.constructs), ("entries", tally.seen)):
        print(f"{title}: " + ", ".join(f"{name} {count:,}" for name, count in counted.most_common()))
    print(f"violations: {len(tally.violations)}")
    for place, each in tally.violations.items():
        print(f"  {each.count:,} times {place}: {each.message}; the shortest: --only {each.seed}")


def _print_run(hold: Sequence[World]) -> None:
    for world in hold:
        print(msgspec.json.format(world.definition.data, indent=1).decode())
        for number, unit in enumerate(world.units, 1):
            for entry in unit:
                told = msgspec.json.decode(msgspec.json.encode(entry))
                texts = {name: str(value)[:120] for name, value in told.items() if name not in ("at", "type")}
                print(number, entry.at - T0, type(entry).__name__, *(f"{name}={text}" for name, text in texts.items()))


if __name__ == "__main__":
    sys.exit(main())
