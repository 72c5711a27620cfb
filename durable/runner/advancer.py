"""Advancing a run by one fact: decide what follows, and append it in one commit.

Nothing here knows of tasks or of memory, so that every driver shares it: what `advance` returns is to be carried out by
the caller, after the commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from durable.decide.advance import Advance
from durable.definition import Definition
from durable.effects import Effect
from durable.history.encoding import detach_values
from durable.history.entries import AnyEntry, AttemptLost, Fact
from durable.history.state import State
from durable.journal.errors import JournalBusy, JournalFull
from durable.journal.journal import Journal
from durable.runner.payloads import call_with_payloads
from durable.runner.side_effects import build_side_effects
from durable.units import RunView, SideEffects

FULL_DISK_PAUSE = 0.5
"""Seconds between two tries of an append while the disk is full."""


@dataclass(eq=False)
class OwnedRun:
    """A run that this node owns under `epoch`, with the state that its history folds to."""

    id: str
    definition: Definition
    state: State
    epoch: int


class Advanced(NamedTuple):
    """What is to be done after a commit: carry out the effects, and wake the runs whose inbox has got a message."""

    effects: Sequence[Effect]
    called: Sequence[str]


class Disk:
    """Whether the disk is full, as far as appends have shown."""

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
    """Advances runs."""

    def __init__(self, journal: Journal, payload: Callable[[str], Awaitable[bytes]], disk: Disk) -> None:
        self._journal = journal
        self._payload = payload
        self._disk = disk

    async def advance(self, run: OwnedRun, fact: Fact, taken: Sequence[int] = ()) -> Advanced | None:
        """Append a fact and all that follows from it; `taken` are the messages of the inbox that report it.

        While the disk is full the same append is tried again; what else the journal refuses is raised.
        """
        advance = Advance(run.definition, run.state, fact)
        await call_with_payloads(advance.follow, self._payload)
        entries = advance.entries
        if not entries and not taken:
            return None
        beside = build_side_effects(run.definition, run.state, entries, advance.effects)
        is_progress = not isinstance(fact, AttemptLost)  # a lost attempt does not show that the run makes progress
        called = await self._append(run, entries, taken, beside, is_progress=is_progress)
        detach_values(entries)
        return Advanced(advance.effects, called)

    async def discard(self, run: OwnedRun, message: int) -> None:
        """Take a message out of the inbox that reports nothing any more."""
        await self._append(run, (), (message,), None)

    async def show(self, run: OwnedRun) -> None:
        """Bring the run's row in line with its history."""
        await self._append(run, (), (), None)

    async def _append(
        self,
        run: OwnedRun,
        entries: Sequence[AnyEntry],
        taken: Sequence[int],
        beside: SideEffects | None,
        *,
        is_progress: bool = True,
    ) -> Sequence[str]:
        after, view = run.state.entries - len(entries), RunView.of(run.state)
        is_blocked = False
        try:
            while True:
                try:
                    return await self._journal.append(
                        run.id, run.epoch, after, entries, view, taken, beside, is_progress=is_progress
                    )
                except (JournalFull, JournalBusy):
                    is_blocked = True
                    self._disk.note(is_full=True)
                    await asyncio.sleep(FULL_DISK_PAUSE)
        finally:
            if is_blocked:
                self._disk.note(is_full=False)
