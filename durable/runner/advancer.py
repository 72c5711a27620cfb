"""Advances a run by one fact: decides what follows, and appends it in one commit.

This module knows nothing about tasks or runs in memory, so that another driver can use it. The caller performs the
effects that `advance` returns after the commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

from durable.cause import describe_run
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

FULL_DISK_PAUSE = 0.5
"""Seconds between two attempts to append while the disk is full."""


@dataclass(eq=False, slots=True)
class OwnedRun:
    """A run that this node owns under `epoch`, with its current state."""

    id: str
    definition: Definition
    state: State
    epoch: int


Append: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Appends; returns the runs that got a message."""


class Advanced(NamedTuple):
    """The result of a commit: the effects to perform, and the runs that got a message and have to be notified."""

    effects: Sequence[Effect]
    notified: Sequence[str]


class Disk:
    """Whether the disk is full, as observed by appends."""

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
    """Advances runs: the part of the engine that all drivers share."""

    def __init__(self, journal: Journal, payload: Callable[[str], Awaitable[bytes]], disk: Disk) -> None:
        self._journal = journal
        self._payload = payload
        self._disk = disk

    async def advance(self, run: OwnedRun, fact: Fact, taken: Sequence[int] = ()) -> Advanced | None:
        """Append a fact and everything that follows from it; None if the fact is no longer current. `taken` are the
        inbox messages that report it.

        While the disk is full, the append is retried; other errors of the journal are raised.
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
        """Bring the run's row in line with its history, and remove the messages `taken`, which need no entry, from its
        inbox."""
        view = describe_run(run.definition, run.state)
        await self._append_until_written(
            partial(self._journal.append, run.id, run.epoch, run.state.entries, (), view, taken)
        )

    def _prepare_append(self, run: OwnedRun, advance: Advance, taken: Sequence[int], *, is_progress: bool) -> Append:
        entries, state = advance.entries, run.state
        side_effects = build_side_effects(run.definition, state, entries, advance.effects)
        after, view = state.entries - len(entries), describe_run(run.definition, state)
        return partial(
            self._journal.append,
            run.id,
            run.epoch,
            after,
            entries,
            view,
            taken,
            side_effects,
            is_progress=is_progress,  # a lost attempt is not progress
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
