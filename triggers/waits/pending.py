"""What the unfinished runs of a journal wait for that is not just time: answers, events, decisions."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import accumulate

from durable.history import State
from durable.journal import Reads, Unfinished
from durable.values import JSON
from triggers.runs import find, moment, wait_told
from triggers.waits.question import questions
from triggers.waits.wait import state_of, states_of

ENTRIES_LIMIT = 5_000
"""Entries that are folded for one page; a run that has more has a page of its own."""


async def of_run(reads: Reads, run: str, *, may_answer: bool) -> list[dict[str, JSON]]:
    """What one run waits for; raises `RunMissing`."""
    await find(reads, run)
    return list(_pending(await state_of(reads, run), may_answer=may_answer))


async def of_all(
    reads: Reads, after: str | None, limit: int, *, may_answer: bool
) -> tuple[list[dict[str, JSON]], str | None]:
    """What unfinished runs wait for, the oldest first, and after which run to go on: `limit` runs, or fewer where their
    histories are long."""
    found = await reads.unfinished(limit, after)
    page = _together(found)
    states = states_of(reads, [each.run for each in page]) if len(page) > 1 else _alone(reads, page)
    told = [each async for state in states for each in _pending(state, may_answer=may_answer)]
    is_last = len(page) == len(found) < limit
    return told, None if is_last else page[-1].run


def _together(found: Sequence[Unfinished]) -> Sequence[Unfinished]:
    """The first of them: one at least, and no more than have so many entries together."""
    total = accumulate(each.sequence for each in found)
    return found[: max(1, sum(entries <= ENTRIES_LIMIT for entries in total))]


async def _alone(reads: Reads, page: Sequence[Unfinished]) -> AsyncIterator[State]:
    """The state of the only run of a page, whose history may be of any length."""
    for each in page:
        yield await state_of(reads, each.run)


def _pending(state: State, *, may_answer: bool) -> Iterator[dict[str, JSON]]:
    if state.started is None or state.finished:
        return
    of: dict[str, JSON] = {"run": state.run, "pipeline": state.started.pipeline}
    for question in questions(state):
        if question.is_answered_by_somebody or question.kind == "event":
            yield of | {"reason": None} | wait_told(question, state, may_answer=may_answer)
    for path, reason in state.pauses.items():
        yield of | {"reason": reason} | _needed(path, state)


def _needed(path: str, state: State) -> dict[str, JSON]:
    """What a person must decide: on a step, or that the run goes on."""
    return {
        "step": path or None,
        "name": None,
        "kind": "decision" if path else "resume",
        "due_at": moment(state.deadline),
        "title": None,
        "to": [],
        "fields": None,
        "type": None,
        "match": None,
        "link": None,
    }
