"""Replays the history of a run that is taken over, in slices, so that a long history does not block other work."""

import asyncio

from durable.history.state import State
from durable.journal.histories import ensure_whole, fold_entry
from durable.journal.reads import Reads

SLICE = 1_000
"""The number of entries that are applied before other tasks can run: about 5 ms."""


async def replay_history(reads: Reads, run: str, until: int | None = None) -> State:
    """Return the state after a run's entries up to number `until`; it is empty if there is no such run.

    Raises `RunUnreadable`.
    """
    state = State(run=run)
    async for page in reads.read_pages(run, until):
        for number, entry in enumerate(page, 1):
            fold_entry(state, entry)
            if number % SLICE == 0:
                await asyncio.sleep(0)
    ensure_whole(run, state.entries, until or 0)
    return state
