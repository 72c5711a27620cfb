"""List what unfinished runs wait for besides time: answers, events, decisions.

The cursor of a page is the last run, `run_…`, or the last step of a run that waits for more, `run_…/PATH`.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, islice

import msgspec

from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.journal.folds import Fold
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import UnfinishedRun
from triggers.documents.fields import format_time
from triggers.documents.waits import PendingDocument
from triggers.not_found import RunNotFound
from triggers.runs.rows import find_run
from triggers.runs.run import make_wait
from triggers.waits.proofs import disarm_links
from triggers.waits.question import find_waiting_steps
from triggers.waits.wait import load_questions

ENTRIES_LIMIT = 5_000
"""The most entries that are replayed for one page; a run with more has a page of its own."""

WAITS_LIMIT = 500
"""A page of several runs ends after so many waits."""


async def list_waits_of(
    reads: Reads, run: str, after: str | None, limit: int, *, may_answer: bool, waits_url: str | None
) -> tuple[list[PendingDocument], str | None]:
    """List what one run waits for, and the cursor of the next page; raises `RunNotFound`. `waits_url` is where links
    are answered now, None if that is not known. A page has `limit` waits, and all those of its last step."""
    found = await find_run(reads, run)
    shown_url = waits_url if may_answer else None

    def list_page(scan: Scan, fold: Fold) -> tuple[list[PendingDocument], str | None]:
        if fold.unreadable is None:
            return _take_waits(scan, fold.state, after, limit, shown_url, may_answer=may_answer)
        reason = str(fold.unreadable)
        return [PendingDocument.make_decision(run, found.pipeline, reason)] if found.finished_at is None else [], None

    return await reads.scan_fold(found, list_page)


async def list_waits(
    reads: Reads, after: str | None, limit: int, *, may_answer: bool, waits_url: str | None
) -> tuple[list[PendingDocument], str | None]:
    """List what unfinished runs wait for, the oldest run first, and the cursor of the next page. A page has `limit`
    runs, or fewer where their histories are long or they wait for much."""
    if after and "/" in after:
        run, _, path = after.partition("/")
        return await _go_on(reads, run, path, may_answer=may_answer, waits_url=waits_url)
    found = await reads.list_unfinished(limit, after)
    page = _take_page(found)
    is_last = len(page) == len(found) < limit
    if len(page) == 1:
        pending, rest = await _go_on(reads, page[0].run, None, may_answer=may_answer, waits_url=waits_url)
        return pending, None if is_last and rest == page[0].run else rest
    total = sum(each.sequence for each in page)
    shown_url = waits_url if may_answer else None
    pending, rest = await reads.scan(lambda scan: _list_page(scan, page, shown_url, may_answer=may_answer), total)
    return pending, page[-1].run if rest is None and not is_last else rest


async def _go_on(
    reads: Reads, run: str, path: str | None, *, may_answer: bool, waits_url: str | None
) -> tuple[list[PendingDocument], str | None]:
    """List what one run waits for after a step, as a page of all runs."""
    try:
        pending, rest = await list_waits_of(reads, run, path, WAITS_LIMIT, may_answer=may_answer, waits_url=waits_url)
    except RunNotFound:  # it was cleared away
        return [], run
    return pending, rest or run


def _take_page(found: Sequence[UnfinishedRun]) -> Sequence[UnfinishedRun]:
    """The first runs: at least one, and together no more entries than the limit."""
    total = accumulate(each.sequence for each in found)
    return found[: max(1, sum(entries <= ENTRIES_LIMIT for entries in total))]


def _list_page(
    scan: Scan, page: Sequence[UnfinishedRun], waits_url: str | None, *, may_answer: bool
) -> tuple[list[PendingDocument], str | None]:
    """List the waits of several short runs, and where the next page begins if there are too many. A run that cannot be
    read waits for a person."""
    pending: list[PendingDocument] = []
    for run, (state, unreadable) in zip(page, scan.replay_all(page), strict=True):
        if unreadable:
            pending.append(PendingDocument.make_decision(run.run, run.pipeline, str(unreadable)))
            continue
        more, rest = _take_waits(
            scan, state, None, max(1, WAITS_LIMIT - len(pending)), waits_url, may_answer=may_answer
        )
        pending += more
        if rest is not None:
            return pending, rest
        if len(pending) >= WAITS_LIMIT:
            return pending, run.run
    return pending, None


def _take_waits(
    scan: Scan, state: State, after: str | None, limit: int, waits_url: str | None, *, may_answer: bool
) -> tuple[list[PendingDocument], str | None]:
    """The first waits of a run after a step, and the cursor of the others. Without `may_answer` they have no links."""
    pending: list[PendingDocument] = []
    last = ""
    for path, found in _find_pending(scan, state, after, waits_url):
        if len(pending) >= limit and path != last:
            return pending, f"{state.run}/{last}"
        last = path
        pending.append(found if may_answer else disarm_links(scan, state.run, found))
    return pending, None


def _find_pending(
    scan: Scan, state: State, after: str | None, waits_url: str | None
) -> Iterator[tuple[str, PendingDocument]]:
    """What a run waits for, with the path of the step: first that it is paused as a whole, then the steps in the order
    in which they were reached."""
    if state.started is None or state.finished:
        return
    run, pipeline, deadline = state.run, state.started.pipeline, format_time(state.deadline)
    if after is None and "" in state.pauses:
        yield "", PendingDocument.make_decision(run, pipeline, state.pauses[""], due_at=deadline)
    waiting = set(find_waiting_steps(state))
    first = list(state.steps).index(after) + 1 if after in state.steps else 0
    for path in [path for path in islice(state.steps, first, None) if path in waiting or path in state.pauses]:
        scan.rest()
        try:
            for question in load_questions(scan, path, state.steps[path]) if path in waiting else ():
                if question.can_be_answered or question.kind == "event":
                    wait = make_wait(question, state, waits_url)
                    yield path, PendingDocument(run=run, pipeline=pipeline, reason=None, **msgspec.structs.asdict(wait))
        except RunUnreadable as unreadable:
            yield path, PendingDocument.make_decision(run, pipeline, unreadable.reason)
            return
        if path in state.pauses:
            since = format_time(state.steps[path].scheduled_at)
            yield path, PendingDocument.make_decision(run, pipeline, state.pauses[path], path, since, deadline)
