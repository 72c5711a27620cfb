"""A fork of a run in the simulated environment of the core."""

from dataclasses import dataclass

import msgspec

from durable.decide.advance import Advance
from durable.decide.copy import CopiedRun, Original, copy_run
from durable.decide.outstanding import find_outstanding
from durable.history.entries import ChildCalled, RunForked
from durable.history.state import State
from durable.history.words import RunSource
from durable.replay import replay_entries
from durable.values import PayloadMissing, Value
from tests.core.invariants import Invariant
from tests.core.world import Child, World

FORK = "run_fork"
LATER = 10_000_000
"""Milliseconds from a run's last fact to its fork."""


@dataclass
class Fork:
    """A fork, and the environment in which it goes on. `before` is its state when it began."""

    copied: CopiedRun
    world: World
    before: State


def make_fork(
    origin: World,
    step: str,
    input: Value | None = None,
    *,
    queued_for: str | None = None,
    watch: Invariant | None = None,
) -> Fork:
    """Fork a run from a step, on the same version; raises `ForkRefused`."""
    world = World(origin.definition, origin.beginning, watch, run=FORK)
    world.payloads = dict(origin.payloads)
    world.now = origin.now + LATER
    history = origin.restored()
    original = Original(origin.state.run, origin.definition, history, replay_entries(origin.state.run, history))
    started = msgspec.structs.replace(
        origin.beginning.started(origin.definition),
        source=RunSource("fork", original.run, step),
        not_before=None,
        expires_at=None,
        parent=None,
        queued_for=queued_for,
    )
    fork = RunForked(at=world.now, path=step, deadline=world.now + origin.definition.pipeline.timeout, input=input)

    def follow(advance: Advance) -> None:
        attached: list[Value] = []
        while True:
            try:
                advance.follow()
                break
            except PayloadMissing as missing:
                missing.value.attach(world.payloads[missing.value.ref or ""])
                attached.append(missing.value)
        for value in attached:
            value.detach()

    copied = copy_run(origin.definition, FORK, started, original, fork, follow)
    world.state, world.facts = copied.state, [fork]
    for entry in copied.entries:
        if isinstance(entry, ChildCalled) and entry.at == world.now:
            world.children[entry.run] = Child(entry.path, is_told_to_end=entry.path not in world.state.active)
    world.begin_with(copied.entries, find_outstanding(world.definition, world.state, world.now))
    return Fork(copied, world, replay_entries(FORK, world.restored()))
