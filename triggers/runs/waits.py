"""List what unfinished runs wait for besides time: answers, events, decisions."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run, UnfinishedRun
from triggers.documents.fields import format_time
from triggers.documents.waits import PendingDocument
from triggers.runs.rows import find_run
from triggers.runs.run import make_wait
from triggers.waits.proofs import disarm_links
from triggers.waits.question import find_questions
from triggers.waits.wait import load_inputs

ENTRIES_LIMIT = 5_000
"""The most entries that are replayed for one page; a run with more has a page of its own."""


async def list_waits_of(reads: Reads, run: str, *, may_answer: bool, waits_url: str | None) -> list[PendingDocument]:
    """List what one run waits for; raises `RunNotFound`. `waits_url` is where links are answered now, None if that is
    not known."""
    found = await find_run(reads, run)
    shown_url = waits_url if may_answer else None
    return await reads.scan(lambda scan: _list_run(scan, found, shown_url, may_answer=may_answer), found.sequence)


async def list_waits(
    reads: Reads, after: str | None, limit: int, *, may_answer: bool, waits_url: str | None
) -> tuple[list[PendingDocument], str | None]:
    """List what unfinished runs wait for, the oldest run first, and the run after which the next page begins. A page
    has `limit` runs, or fewer where their histories are long."""
    found = await reads.list_unfinished(limit, after)
    page = _take_page(found)
    total = sum(each.sequence for each in page)
    shown_url = waits_url if may_answer else None
    pending = await reads.scan(lambda scan: _list_page(scan, page, shown_url, may_answer=may_answer), total)
    is_last = len(page) == len(found) < limit
    return pending, None if is_last else page[-1].run


def _take_page(found: Sequence[UnfinishedRun]) -> Sequence[UnfinishedRun]:
    """The first runs: at least one, and together no more entries than the limit."""
    total = accumulate(each.sequence for each in found)
    return found[: max(1, sum(entries <= ENTRIES_LIMIT for entries in total))]


def _list_run(scan: Scan, run: Run, waits_url: str | None, *, may_answer: bool) -> list[PendingDocument]:
    state, unreadable = scan.replay(run.id, run.sequence)
    if unreadable and run.finished_at is None:
        return [PendingDocument.make_decision(run.id, run.pipeline, str(unreadable))]
    return list(_list_pending(scan, state, waits_url, may_answer=may_answer))


def _list_page(
    scan: Scan, page: Sequence[UnfinishedRun], waits_url: str | None, *, may_answer: bool
) -> list[PendingDocument]:
    """List the waits of one run, or of several short ones. A run that cannot be read waits for a person."""
    folds = scan.replay_all(page) if len(page) > 1 else (scan.replay(each.run, each.sequence) for each in page)
    pending: list[PendingDocument] = []
    for run, (state, unreadable) in zip(page, folds, strict=True):
        if unreadable:
            pending.append(PendingDocument.make_decision(run.run, run.pipeline, str(unreadable)))
        else:
            pending += _list_pending(scan, state, waits_url, may_answer=may_answer)
    return pending


def _list_pending(scan: Scan, state: State, waits_url: str | None, *, may_answer: bool) -> Iterator[PendingDocument]:
    """What a run waits for; without `may_answer` it has no links."""
    found = _find_pending(scan, state, waits_url)
    yield from found if may_answer else (disarm_links(scan, state.run, each) for each in found)


def _find_pending(scan: Scan, state: State, waits_url: str | None) -> Iterator[PendingDocument]:
    if state.started is None or state.finished:
        return
    try:
        load_inputs(scan, state)
    except RunUnreadable as unreadable:
        yield PendingDocument.make_decision(state.run, state.started.pipeline, unreadable.reason)
        return
    run, pipeline = state.run, state.started.pipeline
    for question in find_questions(state):
        if question.can_be_answered or question.kind == "event":
            wait = make_wait(question, state, waits_url)
            yield PendingDocument(run=run, pipeline=pipeline, reason=None, **msgspec.structs.asdict(wait))
    for path, reason in state.pauses.items():
        yield PendingDocument.make_decision(run, pipeline, reason, path or None, format_time(state.deadline))
