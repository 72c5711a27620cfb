"""What the unfinished runs of a journal wait for that is not just time: answers, events, decisions."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run, UnfinishedRun
from durable.values import JSON
from triggers.runs import describe_wait, find_run, format_time
from triggers.waits.proofs import disarm_links
from triggers.waits.question import find_questions
from triggers.waits.wait import load_inputs

ENTRIES_LIMIT = 5_000
"""Entries that are folded for one page; a run that has more has a page of its own."""


async def list_waits_of(reads: Reads, run: str, *, may_answer: bool) -> list[dict[str, JSON]]:
    """What one run waits for; raises `RunMissing`."""
    found = await find_run(reads, run)
    return await reads.scan(lambda scan: _list_run(scan, found, may_answer=may_answer), found.sequence)


async def list_waits(
    reads: Reads, after: str | None, limit: int, *, may_answer: bool
) -> tuple[list[dict[str, JSON]], str | None]:
    """What unfinished runs wait for, the oldest first, and after which run to go on: `limit` runs, or fewer where their
    histories are long."""
    found = await reads.list_unfinished(limit, after)
    page = _take_page(found)
    total = sum(each.sequence for each in page)
    told = await reads.scan(lambda scan: _list_page(scan, page, may_answer=may_answer), total)
    is_last = len(page) == len(found) < limit
    return told, None if is_last else page[-1].run


def _take_page(found: Sequence[UnfinishedRun]) -> Sequence[UnfinishedRun]:
    """The first of them: one at least, and no more than have so many entries together."""
    total = accumulate(each.sequence for each in found)
    return found[: max(1, sum(entries <= ENTRIES_LIMIT for entries in total))]


def _list_run(scan: Scan, run: Run, *, may_answer: bool) -> list[dict[str, JSON]]:
    state, unreadable = scan.replay(run.id, run.sequence)
    if unreadable and run.finished_at is None:
        return [_describe_unreadable(run.id, run.pipeline, str(unreadable))]
    return list(_list_pending(scan, state, may_answer=may_answer))


def _list_page(scan: Scan, page: Sequence[UnfinishedRun], *, may_answer: bool) -> list[dict[str, JSON]]:
    """What some runs wait for: one of any length, or several short ones; one that cannot be read waits for a person."""
    folds = scan.replay_all(page) if len(page) > 1 else (scan.replay(each.run, each.sequence) for each in page)
    told: list[dict[str, JSON]] = []
    for run, (state, unreadable) in zip(page, folds, strict=True):
        if unreadable:
            told.append(_describe_unreadable(run.run, run.pipeline, str(unreadable)))
        else:
            told += _list_pending(scan, state, may_answer=may_answer)
    return told


def _list_pending(scan: Scan, state: State, *, may_answer: bool) -> Iterator[dict[str, JSON]]:
    """What a run waits for; without `may_answer` it has no links."""
    found = _find_pending(scan, state, may_answer=may_answer)
    yield from found if may_answer else (disarm_links(scan, state.run, each) for each in found)


def _find_pending(scan: Scan, state: State, *, may_answer: bool) -> Iterator[dict[str, JSON]]:
    if state.started is None or state.finished:
        return
    try:
        load_inputs(scan, state)
    except RunUnreadable as unreadable:
        yield _describe_unreadable(state.run, state.started.pipeline, unreadable.reason)
        return
    of: dict[str, JSON] = {"run": state.run, "pipeline": state.started.pipeline}
    for question in find_questions(state):
        if question.is_answered_by_somebody or question.kind == "event":
            yield of | {"reason": None} | describe_wait(question, state, may_answer=may_answer)
    for path, reason in state.pauses.items():
        yield of | {"reason": reason} | _describe_decision(path, state)


def _describe_unreadable(run: str, pipeline: str, reason: str) -> dict[str, JSON]:
    """What a person must do about a run that cannot be read."""
    return {"run": run, "pipeline": pipeline, "reason": reason} | _describe_decision("", State(run=run))


def _describe_decision(path: str, state: State) -> dict[str, JSON]:
    """What a person must decide: on a step, or that the run goes on."""
    return {
        "step": path or None,
        "name": None,
        "kind": "decision" if path else "resume",
        "due_at": format_time(state.deadline),
        "title": None,
        "to": [],
        "fields": None,
        "type": None,
        "match": None,
        "link": None,
    }
