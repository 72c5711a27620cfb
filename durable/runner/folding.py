"""The state of a run whose history is read now: folded a piece at a time, so that a long one keeps nobody waiting."""

from durable.history import State, apply
from durable.journal import Reads


async def folded(reads: Reads, run: str, until: int | None = None) -> State:
    """The fold of a run's entries up to number `until`; that of nothing if there is no such run."""
    state = State(run=run)
    async for page in reads.pages(run, until):
        for entry in page:
            apply(state, entry)
    return state
