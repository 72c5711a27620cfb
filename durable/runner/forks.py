"""Begins forks: reads the run that is forked and copies its checkpoints, in the thread of a scan."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from durable.decide.advance import Advance
from durable.decide.copy import ENTRIES_LIMIT, CopiedRun, ForkRefused, Original, check_step, copy_run
from durable.definition import Definition
from durable.engine import ForkOrder, RecordedInput, Start
from durable.history.encoding import list_values
from durable.history.entries import AnyEntry, RunForked, RunStarted
from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.journal.histories import ensure_whole, fold_entry
from durable.journal.journal import Journal
from durable.journal.scan import Scan
from durable.runner.start import BegunRun, RunAddresses, begin_run
from durable.runner.versions import Versions
from durable.steps.node import ActionNode
from durable.units import Event, Run
from durable.values import PayloadMissing, Value

NEW_BYTES_LIMIT = 64 * 1024 * 1024
"""The maximum size of the large values that are written with a fork, because the other run does not have them."""


class BegunFork(NamedTuple):
    """A fork that is to be committed; `copied` and `again` are those of `durable.engine.Forked`."""

    run: BegunRun
    copied: int
    again: tuple[str, ...]


async def begin_fork(
    journal: Journal, versions: Versions, addresses: RunAddresses, event: Event, start: Start, order: ForkOrder
) -> BegunFork:
    """Begin a fork; raises `ForkRefused` and `RunUnreadable`."""
    row = await journal.find_run(order.of)
    if row is None:
        raise RunUnreadable(order.of, "it is no longer in the journal")
    if row.sequence > 2 * ENTRIES_LIMIT:
        raise ForkRefused(
            f"the history of run {row.id} has {row.sequence:,} entries; the limit is {2 * ENTRIES_LIMIT:,}"
        )
    definition = await versions.load_definition(row.id, row.version)

    def begin(scan: Scan) -> BegunFork:
        copier = _Copier(scan, start, order, _load_original(scan, row, definition))
        begun = begin_run(event, start, addresses, copier.copy)
        return BegunFork(begun, copier.copied, copier.again)

    return await journal.scan(begin, row.sequence)


def _load_original(scan: Scan, row: Run, definition: Definition) -> Original:
    history: list[AnyEntry] = []
    state = State(run=row.id)
    for _, entry in scan.read_entries(row.id):
        fold_entry(state, entry)
        history.append(entry)
    ensure_whole(row.id, state.entries, row.sequence)
    return Original(row.id, definition, history, state)


@dataclass(slots=True)
class _Copier:
    """Copies a run's checkpoints into a fork, over a scan. `stored` are the large values that the other run has."""

    scan: Scan
    start: Start
    order: ForkOrder
    original: Original
    copied: int = 0
    again: tuple[str, ...] = ()
    stored: Collection[str] = field(init=False)
    new_bytes: int = 0

    def __post_init__(self) -> None:
        self.stored = set(_list_stored(self.original.history))

    def copy(self, run: str, started: RunStarted) -> CopiedRun:
        before = self.original.state.started
        assert before, "a run that was read has begun"
        assert self.start.at is not None, "a fork begins when it is asked for"
        self.new_bytes = 0
        # The times of what is copied stay as they were, and those that follow from them too.
        first = msgspec.structs.replace(started, at=before.at, deadline=before.deadline)
        definition = self.start.definition
        fork = self._build_fork(definition, self.start.at)
        copied = copy_run(definition, run, first, self.original, fork, self._follow)
        self.copied, self.again = copied.copied, copied.again
        return copied

    def _build_fork(self, definition: Definition, at: int) -> RunForked:
        path, deadline = self.order.step, at + definition.pipeline.timeout
        if self.order.edit is None:
            return RunForked(at=at, path=path, deadline=deadline)
        if not isinstance(check_step(definition, path, self.original), ActionNode):
            raise ForkRefused(f"{path} is a block, which has no input: omit the input, or name a step inside the block")
        edited = self.order.edit(self._load_input(path))
        return RunForked(at=at, path=path, deadline=deadline, input=Value.of(edited.input), secrets=edited.secrets)

    def _load_input(self, path: str) -> RecordedInput | None:
        """The recorded input of a step; None if it has none, as a step whose input could not be evaluated."""
        step = self.original.state.steps.get(path)
        if step is None or path in self.original.state.blocks or not (step.attempt or step.child or step.awaits):
            return None
        return RecordedInput(self.scan.load_value(step.input).load(), step.secrets)

    def _follow(self, advance: Advance) -> None:
        """Let the core decide, with the payloads that it needs in memory meanwhile."""
        attached: list[Value] = []
        try:
            while True:
                try:
                    advance.follow()
                    break
                except PayloadMissing as missing:
                    attached.append(self.scan.load_value(missing.value))
        finally:
            for value in attached:
                value.detach()
        self._drop_stored(advance.entries)
        self.scan.rest()

    def _drop_stored(self, entries: Iterable[AnyEntry]) -> None:
        """Keep only those large values in memory that are not in the journal yet."""
        for entry in entries:
            for value in list_values(entry).values():
                if value.ref is None or not value.is_loaded:
                    continue
                if value.ref in self.stored:
                    value.detach()
                    continue
                self.new_bytes += value.size
                if self.new_bytes > NEW_BYTES_LIMIT:
                    what = f"more than {NEW_BYTES_LIMIT // 1024 // 1024} MB of inputs that differ from those of the run"
                    raise ForkRefused(f"the fork would start with {what}")


def _list_stored(history: Iterable[AnyEntry]) -> Iterable[str]:
    return (value.ref for entry in history for value in list_values(entry).values() if value.ref is not None)
