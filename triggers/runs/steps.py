"""The steps of one run as JSON: a page of them, or one whole."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, cast
from urllib.parse import quote

import msgspec

from durable.action import Ending
from durable.blocks.kinds import BLOCKS
from durable.clock import now
from durable.history.entries import AttemptFailed, AttemptLost
from durable.history.state import BlockState, State, StepState
from durable.history.words import Failure, RunStatus, StepStatus
from durable.journal.folds import Fold
from durable.journal.outline import StepKind, StepOrder, StepPlace, has_undo
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.journal.timeline import AttemptEnd
from durable.path import find_step_path, is_within, make_key
from durable.units import Run
from durable.values import NULL
from triggers.documents.fields import format_time
from triggers.documents.runs import (
    AttemptDocument,
    CalledRunDocument,
    FailureDocument,
    ItemsDocument,
    PagesDocument,
    StepDocument,
    UndoDocument,
)
from triggers.not_found import StepNotFound
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.omissions import Omissions
from triggers.runs.rows import find_run
from triggers.runs.version_steps import load_version_steps

PART_LIMIT = 4_000
"""The bytes of a step's input, output, error or attempts from which they are left out of a page."""

PAGE_BYTES = 64_000
"""A page ends before it has more bytes, even if it has fewer steps than the limit."""

FAILED_ITEMS = 20
"""The number of failed items that a loop's row names."""

CURSOR = r"^\d-\d{1,12}$"
"""How a place in a list of steps is written."""


@dataclass(frozen=True, slots=True)
class StepQuery:
    """Which steps are asked for.

    `status`: only those with this status.
    `under`: only those inside this block, or inside this item of a loop (`reserve[2]`).
    `outline`: only those outside of the loops there, since each loop has the counts of its items.
    `only`: only steps of this kind.
    `after`: the cursor that the page before gave.
    """

    status: StepStatus | None = None
    under: str = ""
    outline: bool = False
    only: StepKind | None = None
    order: StepOrder = "attention"
    after: str | None = None
    limit: int = 200


async def encode_steps(
    reads: Reads, run: str, query: StepQuery, *, may_answer: bool = True
) -> tuple[bytes, str | None]:
    """Encode a page of a run's steps: a JSON array, and the cursor of the next page. Raises `RunNotFound`."""
    found = await find_run(reads, run)

    def encode(scan: Scan, fold: Fold) -> tuple[bytes, str | None]:
        page = StepEncoder(scan, fold, found, DocumentEncoder(scan, run, may_answer=may_answer)).encode_page(query)
        return msgspec.json.encode(page.steps), page.after

    return await reads.scan_fold(found, encode)


async def encode_step(
    reads: Reads, run: str, path: str, part_limit: int | None = None, *, may_answer: bool = True
) -> bytes:
    """Encode one step, which may be named by one of its pages, without parts of more bytes than the limit; raises
    `RunNotFound` and `StepNotFound`."""
    found, path = await find_run(reads, run), find_step_path(path)

    def encode(scan: Scan, fold: Fold) -> bytes:
        if path not in fold.state.steps:
            raise StepNotFound(run, path)
        return StepEncoder(scan, fold, found, DocumentEncoder(scan, run, may_answer=may_answer)).encode_one(
            path, part_limit
        )

    return await reads.scan_fold(found, encode)


@dataclass(frozen=True, slots=True)
class StepPage:
    """Steps, encoded already, and the cursor of the next page."""

    steps: list[StepDocument]
    after: str | None


class StepEncoder:
    """Encodes the steps of a run, in the thread of a scan."""

    def __init__(self, scan: Scan, fold: Fold, run: Run, encoder: DocumentEncoder) -> None:
        self._scan = scan
        self._fold = fold
        self._run = run
        self._encoder = encoder
        self._performed_until = find_performed_until(run, fold.state)
        self._version = load_version_steps(scan.load_definition(run.version))

    def encode_page(self, query: StepQuery, most_bytes: int = PAGE_BYTES) -> StepPage:
        """Encode the steps that are asked for: at least one if there is one, and no more than `most_bytes`."""
        places = list(islice(self._select(query), query.limit + 1))
        called = self._find_called([path for _, path in places])
        steps: list[StepDocument] = []
        last, size = None, 0
        for place, path in places[: query.limit]:
            text = self._encode(path, PART_LIMIT, called)
            if steps and size + len(text) > most_bytes:
                break
            steps.append(cast(StepDocument, msgspec.Raw(text)))
            last, size = place, size + len(text) + 1
        after = f"{last.rank}-{last.reached}" if last and len(steps) < len(places) else None
        return StepPage(steps, after)

    def encode_one(self, path: str, part_limit: int | None) -> bytes:
        """Encode one step."""
        return self._encode(path, part_limit, self._find_called([path]))

    def _select(self, query: StepQuery) -> Iterator[tuple[StepPlace, str]]:
        outline, state = self._scan.open_outline(self._fold), self._fold.state
        after = read_cursor(query.after)
        for place, path in outline.list_steps(query.order, after, query.under, is_outline=query.outline):
            self._scan.rest()
            is_wanted = not query.status or state.steps[path].status == query.status
            if (
                is_wanted
                and is_within(path, query.under)
                and not (query.only and not outline.is_of_kind(path, query.only))
            ):
                yield place, path

    def _find_called(self, paths: Sequence[str]) -> dict[str, RunStatus]:
        steps = self._fold.state.steps
        return self._scan.find_statuses([child for path in paths if (child := steps[path].child)])

    def _encode(self, path: str, limit: int | None, called: dict[str, RunStatus]) -> bytes:
        state = self._fold.state
        step, encoder = state.steps[path], self._encoder
        omissions = Omissions(limit, lambda name: f"/api/runs/{self._run.id}/steps/{quote(path, safe='')}")
        document = StepDocument(
            path=path,
            use=self._version.find_use(path),
            status=step.status,
            input=omissions.take_value("input", step.input, lambda value: encoder.input(value, step.secrets)),
            output=omissions.take_value("output", step.output, encoder.raw),
            error=omissions.take_error("error", step.error),
            attempts=step.attempt - step.is_backing_off(self._performed_until),
            lost=step.crashes,
            scheduled_at=format_time(step.scheduled_at),
            finished_at=format_time(step.finished_at),
            due_at=format_time(step.due),
            decision_needed=step.needs_person,
            copied=step.is_copied,
            connection=step.connection,
            idempotency_key=make_key(self._run.id, path, step.cleanup_pass),
            tries=omissions.take_list("tries", [make_attempt(each) for each in self._fold.traces[path].tries]),
            items=count_items(step, state.blocks.get(path)),
            pages=PagesDocument(step.pages.number, step.pages.count) if step.pages else None,
            called=CalledRunDocument(path, step.child, called.get(step.child)) if step.child else None,
            undo=make_undo(state, path, limit) if has_undo(state, path) else None,
            omitted=omissions.found,
        )
        return encoder.encode(document)


def read_cursor(text: str | None) -> StepPlace | None:
    """The place that a cursor names."""
    if text is None or not re.match(CURSOR, text):
        return None
    rank, _, reached = text.partition("-")
    return StepPlace(int(rank), int(reached))


def make_undo(state: State, path: str, limit: int | None) -> UndoDocument:
    """What became of the undo of a step; its error is shortened if it has more than `limit` bytes."""
    undo = state.undos[path]
    return UndoDocument(path, undo.status, Omissions(limit, str).take_error("error", undo.error))


def find_performed_until(run: Run, state: State) -> int:
    """The time (ms) by which an attempt must have been due to have begun: none begins in a run that is paused, or that
    no node owns."""
    if run.node is None:
        return 0
    return now() if state.paused_at is None else state.paused_at


def count_items(step: StepState, block: BlockState | None) -> ItemsDocument | None:
    """Count the items of a loop; None for another block, or for no block."""
    if block is None or not BLOCKS[block.kind].is_loop:
        return None
    failed, cancelled = len(block.failures), len(block.cancelled)
    running = block.running if step.finished_at is None else 0
    counts: dict[StepStatus, int] = {
        "completed": block.begun - failed - cancelled - running,
        "failed": failed,
        "cancelled": cancelled,
        "running": running,
        "pending": max(0, block.count - block.begun),
    }
    return ItemsDocument(
        total=None if block.items == NULL else block.count,
        counts={status: count for status, count in counts.items() if count > 0},
        failed=list(islice(block.failures, FAILED_ITEMS)),
    )


def make_attempt(end: AttemptEnd) -> AttemptDocument:
    """An attempt that has ended."""
    ending: Ending | Literal["completed", "lost"] = "completed"
    error: Failure | None = None
    if isinstance(end, AttemptFailed):
        ending, error = end.ending, end.error
    elif isinstance(end, AttemptLost):
        ending, error = "lost", end.error
    return AttemptDocument(
        attempt=end.attempt,
        started_at=format_time(end.started_at),
        ended_at=format_time(end.at),
        ending=ending,
        error=FailureDocument.of(error),
    )
