"""The outline of a run: a page of rows, and the time line above them, of a run of any length.

One pass over all steps collects what the time line needs and which steps are listed; only the steps of the page are
looked at in detail. It works on a fold, in the thread of a scan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from durable.cause import shorten_message
from durable.clock import now
from durable.history.state import StepState
from durable.history.words import Failure, RunStatus
from durable.journal.folds import Fold
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.journal.timeline import Axis, Part, count_parts, group_by_loop, make_axis, measure_work, split_time
from durable.units import Run
from triggers.documents.fields import format_time
from triggers.documents.outline import (
    AxisPieceDocument,
    DensityDocument,
    OutlineDocument,
    RowCountsDocument,
    RowDocument,
    RowPartDocument,
    RowsOnly,
    TookDocument,
)
from triggers.documents.runs import CalledRunDocument, ErrorDocument
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.rows import find_run
from triggers.runs.steps import count_items, find_performed_until
from triggers.runs.tree import Row, RowList, list_failed, list_rows, list_unfinished
from triggers.runs.version_steps import load_version_steps

STRIP_SIZE = 100
"""The pieces of the strip of a whole run."""

LOOP_SIZE = 40
"""The pieces of the strip of a loop."""

MANY_STEPS = 200
"""A failed run with more steps lists its failed ones, unless it is asked for others."""


@dataclass(frozen=True, slots=True)
class OutlineQuery:
    """What is shown: the rows inside the block or item `under`, behind the row `after`; `only` None: the failed ones of
    a long run that failed, else all. `window`: only this part of the time line, in ms from its start."""

    under: str = ""
    only: RowsOnly | None = None
    after: str | None = None
    limit: int = 100
    window: tuple[int, int] | None = None
    is_collapsed: bool = True


async def encode_outline(reads: Reads, run: str, query: OutlineQuery, *, may_answer: bool = True) -> bytes:
    """Encode an `OutlineDocument`; raises `RunNotFound`."""
    found = await find_run(reads, run)

    def encode(scan: Scan, fold: Fold) -> bytes:
        return OutlineEncoder(scan, fold, found, query, DocumentEncoder(scan, run, may_answer=may_answer)).encode()

    return await reads.scan_fold(found, encode)


class OutlineEncoder:
    """Encodes the outline of one run."""

    def __init__(self, scan: Scan, fold: Fold, run: Run, query: OutlineQuery, encoder: DocumentEncoder) -> None:
        self._scan = scan
        self._fold = fold
        self._run = run
        self._query = query
        self._encoder = encoder
        self._version = load_version_steps(scan.load_definition(run.version))
        state = fold.state
        self._start = max(state.started_at, run.created_at)  # a fork has copied the entry of the run's start
        self._until = max(state.finished.at if state.finished else now(), self._start)
        self._performed_until = find_performed_until(run, state)
        self._is_held = state.status == "paused" or run.node is None
        self._parts = fold.timeline.list_parts(state, fold.traces, self._until, is_held=self._is_held, rest=scan.rest)

    def encode(self) -> bytes:
        state, query = self._fold.state, self._query
        axis, took = self._make_axis()
        only, rows, counts = self._list()
        if query.window is not None:
            rows = rows.keep(lambda path: self._overlaps(path, axis))
        first, page = rows.take_page(query.after, query.limit)
        document = OutlineDocument(
            run=self._run.id,
            status=self._run.status,
            started_at=format_time(self._start) if state.started else None,
            sequence=state.entries,
            took=took,
            axis=[
                AxisPieceDocument(each.start - self._start, each.end - each.start, each.x, each.width, each.is_idle)
                for each in axis.pieces
            ],
            strip=self._make_density(self._parts, axis, STRIP_SIZE),
            only=only,
            counts=counts,
            total=len(rows),
            first=first + 1 if page else 0,
            rows=self._encode_rows(page, axis),
            after=page[-1].path if first + len(page) < len(rows) else None,
            unreadable=str(self._fold.unreadable) if self._fold.unreadable else None,
        )
        return msgspec.json.encode(document)

    # -- the time line

    def _make_axis(self) -> tuple[Axis, TookDocument]:
        start, until, window = self._start, self._until, self._query.window
        worked, idle = measure_work(self._parts, start, until)
        unbegun = until if self._run.status == "queued" else start
        queued = min((part[2] for part in self._parts), default=unbegun) - start
        took = TookDocument(until - start, worked, max(0, until - start - worked - queued), queued)
        if window is not None:
            start, until = start + window[0], min(until, start + window[1])
        return make_axis(start, until, idle if self._query.is_collapsed else ()), took

    def _make_density(self, parts: Sequence[Part], axis: Axis, size: int) -> DensityDocument:
        self._scan.rest()
        return DensityDocument(*count_parts(parts, axis, size))

    def _find_span(self, path: str) -> tuple[int, int] | None:
        """When a step began and ended; None for one that did not begin in this run."""
        step = self._fold.state.steps.get(path)
        if step is None or step.is_copied:
            return None
        end = self._until if step.finished_at is None else step.finished_at
        return min(end if step.scheduled_at is None else step.scheduled_at, end), end

    def _overlaps(self, path: str, axis: Axis) -> bool:
        span = self._find_span(path)
        return span is not None and span[0] <= axis.end and span[1] >= axis.start

    def _split_time(self, path: str, step: StepState) -> Iterator[Part]:
        trace = self._fold.traces.get(path)
        return split_time(path, step, trace, self._until, is_held=self._is_held) if trace else iter(())

    # -- rows

    def _list(self) -> tuple[RowsOnly, RowList, RowCountsDocument]:
        state, query = self._fold.state, self._query
        failed, unfinished = list_failed(state), list_unfinished(state)
        is_long = self._run.status == "failed" and len(state.steps) > MANY_STEPS and not query.under
        only = query.only or ("failed" if is_long and len(failed) else "all")
        counts = RowCountsDocument(len(state.steps), len(failed), len(unfinished))
        match only:
            case "failed":
                rows = failed
            case "unfinished":
                rows = unfinished
            case "all":
                rows = list_rows(state, query.under, self._version.main, self._scan.rest)
        return only, rows, counts

    def _encode_rows(self, rows: Sequence[Row], axis: Axis) -> list[RowDocument]:
        steps = self._fold.state.steps
        blocks = self._fold.state.blocks
        loops = group_by_loop(self._parts, {row.path for row in rows if row.path in blocks})
        densities = {loop: self._make_density(parts, axis, LOOP_SIZE) for loop, parts in loops.items()}
        children = [child for row in rows if (step := steps.get(row.path)) and (child := step.child)]
        statuses = self._scan.find_statuses(children)
        return [
            cast(RowDocument, msgspec.Raw(self._encoder.encode(self._make_row(row, densities, statuses))))
            for row in rows
        ]

    def _make_row(self, row: Row, densities: dict[str, DensityDocument], statuses: dict[str, RunStatus]) -> RowDocument:
        path, depth = row
        state, version = self._fold.state, self._version
        step = state.steps.get(path) or StepState("pending")
        span = self._find_span(path)
        items = count_items(step, state.blocks.get(path))
        limit = version.find_attempts(path)
        return RowDocument(
            path=path,
            use=version.find_use(path),
            status=step.status,
            depth=depth,
            at=span[0] - self._start if span else None,
            length=span[1] - span[0] if span else 0,
            parts=[
                RowPartDocument(kind, start - self._start, end - start)
                for _, kind, start, end in self._split_time(path, step)
            ],
            density=densities.get(path) if items else None,
            items=items,
            parallel=version.find_parallel(path),
            attempts=step.attempt - step.is_backing_off(self._performed_until),
            max_attempts=limit + step.attempt - step.counted_attempts if limit and step.attempt else limit,
            due_at=format_time(step.due),
            decision_needed=step.needs_person,
            copied=step.is_copied,
            error=_shorten_error(step.error),
            called=CalledRunDocument(path, step.child, statuses.get(step.child)) if step.child else None,
        )


def _shorten_error(error: Failure | None) -> ErrorDocument | None:
    if error is None:
        return None
    return ErrorDocument(error.error_class, error.code, shorten_message(error.message), error.step)
