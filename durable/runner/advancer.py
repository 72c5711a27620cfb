"""Advancing a run by one fact: decide what follows and append it in one commit.

Nothing here knows of tasks or of runs in memory, so that another driver can use it: its caller carries out what
`advance` returns after the commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

from durable.decide.advance import Advance
from durable.definition import Definition
from durable.effects import Effect
from durable.history.encoding import detach_values
from durable.history.entries import AttemptLost, Fact
from durable.history.state import State
from durable.journal.errors import JournalBusy, JournalFull
from durable.journal.journal import Journal
from durable.runner.payloads import call_with_payloads
from durable.runner.side_effects import build_side_effects
from durable.units import RunView

FULL_DISK_PAUSE = 0.5
"""Seconds between two tries of an append while the disk is full."""


@dataclass(eq=False, slots=True)
class OwnedRun:
    """A run that this node owns under `epoch`, with the state that its history folds to."""

    id: str
    definition: Definition
    state: State
    epoch: int


Append: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Appends; the answer is the runs that got a message."""


class Advanced(NamedTuple):
    """What is to be done after a commit: carry out the effects, and wake the runs that got a message."""

    effects: Sequence[Effect]
    notified: Sequence[str]


class Disk:
    """Whether the disk is full, as the appends have shown."""

    def __init__(self) -> None:
        self.is_full = False
        self._has_room = asyncio.Event()

    def note(self, *, is_full: bool) -> None:
        self.is_full = is_full
        if is_full:
            self._has_room.clear()
        else:
            self._has_room.set()

    async def wait_for_room(self) -> None:
        await self._has_room.wait()


class Advancer:
    """Advances runs: the part of the engine that every driver shares."""

    def __init__(self, journal: Journal, payload: Callable[[str], Awaitable[bytes]], disk: Disk) -> None:
        self._journal = journal
        self._payload = payload
        self._disk = disk

    async def advance(self, run: OwnedRun, fact: Fact, taken: Sequence[int] = ()) -> Advanced | None:
        """Append a fact and all that follows from it; None if it comes too late to change anything. `taken` are the
        messages of the inbox that report it.

        While the disk is full the same append is tried again; what else the journal refuses is raised.
        """
        advance = Advance(run.definition, run.state, fact)
        await call_with_payloads(advance.follow, self._payload)
        if not advance.entries and not taken:
            return None
        append = self._prepare_append(run, advance, taken, is_progress=not isinstance(fact, AttemptLost))
        try:
            notified = await append()
        except (JournalFull, JournalBusy):
            notified = await self._append_until_written(append)
        detach_values(advance.entries)
        return Advanced(advance.effects, notified)

    async def update(self, run: OwnedRun, taken: Sequence[int] = ()) -> None:
        """Bring the run's row in line with its history, and take messages out of the inbox that report nothing."""
        view = RunView.of(run.state)
        await self._append_until_written(
            partial(self._journal.append, run.id, run.epoch, run.state.entries, (), view, taken)
        )

    def _prepare_append(self, run: OwnedRun, advance: Advance, taken: Sequence[int], *, is_progress: bool) -> Append:
        entries, state = advance.entries, run.state
        side_effects = build_side_effects(run.definition, state, entries, advance.effects)
        after, view = state.entries - len(entries), RunView.of(state)
        return partial(
            self._journal.append,
            run.id,
            run.epoch,
            after,
            entries,
            view,
            taken,
            side_effects,
            is_progress=is_progress,  # a lost attempt does not show that the run makes progress
        )

    async def _append_until_written(self, append: Append) -> Sequence[str]:
        try:
            while True:
                try:
                    return await append()
                except (JournalFull, JournalBusy):
                    self._disk.note(is_full=True)
                    await asyncio.sleep(FULL_DISK_PAUSE)
        finally:
            if self._disk.is_full:
                self._disk.note(is_full=False)
