"""One run as a JSON document of bounded size: its head, the steps to look at first, and what it waits for.

Its history is as long as its author made it, so it is replayed and the document encoded in a thread for that, a piece
at a time; what is stored as JSON goes into it as it is.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from durable.clock import now
from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.journal.folds import Fold
from durable.journal.reads import Reads
from durable.journal.runs import list_repeats
from durable.journal.scan import Scan
from durable.trace import find_trace_id
from durable.units import Run
from durable.values import Value
from triggers.documents.fields import format_time
from triggers.documents.runs import (
    CalledRunDocument,
    CallingStepDocument,
    FailureDocument,
    RepeatDocument,
    RetriedDocument,
    RunDocument,
    RunLineDocument,
    SourceDocument,
)
from triggers.documents.starts import EndedDocument
from triggers.documents.waits import WaitDocument
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.omissions import Omissions
from triggers.runs.rows import ExplainProgress, explain_nothing, find_run, list_run_lines
from triggers.runs.steps import PART_LIMIT, StepEncoder, StepQuery, find_performed_until, make_undo
from triggers.runs.tags import find_tag, hash_rows, make_tag
from triggers.runs.why import explain_run
from triggers.waits.question import Question, find_waiting_steps
from triggers.waits.wait import load_questions

VALUE_LIMIT = 10_000
"""The bytes of a run's inputs, outputs, answer or error from which they are left out of its document."""

ERROR_LIMIT = 4_000
"""The bytes of an error of the run from which it is shortened."""

STEPS_LIMIT = 50
STEPS_BYTES = 24_000
"""The number of steps in the document of a run, and their bytes."""

LISTED = 20
LISTED_BYTES = 6_000
"""The number of waits, called runs and undos in the document of a run, and the bytes of each of these lists."""

REPEATS_SHOWN = 20
"""How many of the runs that repeat a run are listed with it."""

RunPart: TypeAlias = Literal["inputs", "outputs", "answer", "error", "cleanup_error", "reason"]
"""What a run's document may leave out or shorten."""


class EncodedRun(NamedTuple):
    """A `RunDocument` as JSON, empty if the reader has it already, and its tag, None if it may change without
    notice."""

    text: bytes
    tag: str | None


async def encode_run(
    reads: Reads,
    run: str,
    *,
    may_answer: bool = True,
    waits_url: str | None = None,
    explain: ExplainProgress = explain_nothing,
    known: str | None = None,
) -> EncodedRun:
    """Encode a `RunDocument`; raises `RunNotFound`. `waits_url` is where links to waits are answered now. Without it
    the document has no links to its waits, and without `may_answer` no links at all. `known` are the tags of the
    documents that the reader has."""
    found = await find_run(reads, run)
    (line,) = await list_run_lines(reads, [found], now(), may_answer=True, explain=explain)
    repeats = await reads.read(list_repeats, run, REPEATS_SHOWN)
    rows = hash_rows(found, line, repeats, may_answer, waits_url)
    if known is not None and (tag := find_tag(known, rows, now())):
        return EncodedRun(b"", tag)

    def encode(scan: Scan, fold: Fold) -> EncodedRun:
        encoder = DocumentEncoder(scan, run, may_answer=may_answer)
        document = _make_run(scan, fold, found, line, encoder, waits_url)
        tag = make_tag(rows, fold.state, find_performed_until(found, fold.state))
        return EncodedRun(msgspec.json.encode(document), None if document.children_count else tag)

    return await reads.scan_fold(found, encode)


async def encode_ended_run(reads: Reads, run: str, *, is_duplicate: bool) -> bytes:
    """Encode an `EndedDocument`, with outputs of any size; raises `RunNotFound`."""
    found = await find_run(reads, run)
    line = RunLineDocument.of(found, explain_run(found, now()))

    def encode(scan: Scan, fold: Fold) -> bytes:
        encoder = DocumentEncoder(scan, run, may_answer=True)
        document = _make_run(scan, fold, found, line, encoder, None, whole=("outputs",))
        return msgspec.json.encode(EndedDocument(**msgspec.structs.asdict(document), duplicate=is_duplicate))

    return await reads.scan_fold(found, encode)


async def encode_run_part(reads: Reads, run: str, part: RunPart, *, may_answer: bool = True) -> bytes:
    """Encode a part of a run's document whole; raises `RunNotFound` and `RunUnreadable`."""
    found = await find_run(reads, run)

    def encode(scan: Scan, fold: Fold) -> bytes:
        encoder = DocumentEncoder(scan, run, may_answer=may_answer)
        text = encoder.encode(_get_part(fold, found, part, encoder))
        if encoder.missing:
            raise encoder.missing
        return text

    return await reads.scan_fold(found, encode)


def _get_part(fold: Fold, run: Run, part: RunPart, encoder: DocumentEncoder) -> object:
    state = fold.state
    match part:
        case "inputs" | "outputs" | "answer":
            value = _list_values(state)[part]
            return encoder.raw(value) if value else None
        case "error":
            return FailureDocument.of(state.error)
        case "cleanup_error":
            return FailureDocument.of(state.finished.cleanup_error if state.finished else None)
    return _find_reason(fold, run, encoder)


def _list_values(state: State) -> dict[str, Value | None]:
    return {"inputs": state.inputs, "outputs": state.main.outputs if state.main else None, "answer": state.answer}


def _find_reason(fold: Fold, run: Run, encoder: DocumentEncoder) -> str | None:
    """Why the run is as it is; first of all that it cannot be read."""
    state, problem = fold.state, fold.unreadable or encoder.missing
    return str(problem) if problem else state.reason or (state.ending.reason if state.ending else None) or run.reason


def _make_run(
    scan: Scan,
    fold: Fold,
    run: Run,
    line: RunLineDocument,
    encoder: DocumentEncoder,
    waits_url: str | None,
    whole: Collection[str] = (),
) -> RunDocument:
    """The run, of pieces that are encoded already. One whose history cannot be read is shown up to there, with the
    reason. The values that `whole` names are never left out."""
    state, started = fold.state, fold.state.started
    omissions = Omissions(VALUE_LIMIT, lambda name: f"/api/runs/{run.id}/values/{name}")
    values: dict[str, Any] = {}
    for name, value in _list_values(state).items():
        shown = encoder.raw(value) if value and name in whole else omissions.take_value(name, value, encoder.raw)
        values[name] = encoder.encode_piece(shown)
    omissions.limit = ERROR_LIMIT
    cleanup_error = state.finished.cleanup_error if state.finished else None
    steps = StepEncoder(scan, fold, run, encoder).encode_page(StepQuery(limit=STEPS_LIMIT), STEPS_BYTES)
    lists = _make_lists(scan, fold, encoder, waits_url if encoder.may_answer else None)
    problem = fold.unreadable or encoder.missing
    reason, why = _find_reason(fold, run, encoder), str(problem) if problem else line.why
    line = msgspec.structs.replace(
        line, reason=omissions.take_text("reason", reason), why=omissions.take_text("reason", why)
    )
    error = encoder.encode_piece(omissions.take_error("error", state.error))
    return RunDocument(
        **(msgspec.structs.asdict(encoder.redact_links(line)) | {"error": error}),
        version=run.version,
        **values,
        cleanup_error=encoder.encode_piece(omissions.take_error("cleanup_error", cleanup_error)),
        due_at=format_time(run.due_at),
        not_before=format_time(started.not_before) if started else None,
        expires_at=format_time(started.expires_at) if started else None,
        priority=started.priority if started else 0,
        trace=find_trace_id(run.id, started.traceparent if started else None),
        by=started.by if started else None,
        source=encoder.encode_piece(SourceDocument.of_run(started.source) if started else None),
        repeats=_list_repeats(scan, run.id),
        retried=encoder.encode_piece(RetriedDocument.of_state(state)),
        parent=CallingStepDocument(started.parent.run, started.parent.path) if started and started.parent else None,
        **lists,
        step_counts=scan.open_outline(fold).counts,
        steps=steps.steps,
        steps_after=steps.after,
        omitted=omissions.found,
    )


def _make_lists(scan: Scan, fold: Fold, encoder: DocumentEncoder, waits_url: str | None) -> dict[str, Any]:
    """The lists of a run, each as far as it fits, with the number of its elements."""
    state, outline = fold.state, scan.open_outline(fold)
    first = [(path, state.steps[path].child or "") for path in outline.calls[:LISTED]]
    statuses = scan.find_statuses([child for _, child in first])
    return {
        "children": _take_first(encoder, (CalledRunDocument(path, run, statuses.get(run)) for path, run in first)),
        "children_count": len(outline.calls),
        "waits": _take_first(encoder, _list_waits(scan, state, encoder, waits_url)),
        "waits_count": sum(len(state.steps[path].awaits) for path in find_waiting_steps(state)),
        "undo": _take_first(encoder, (make_undo(state, path, PART_LIMIT) for path in outline.undos)),
        "undo_count": len(outline.undos),
    }


def _take_first(encoder: DocumentEncoder, pieces: Iterable[msgspec.Struct]) -> list[msgspec.Struct]:
    """The first pieces, encoded: as many as a document lists."""
    taken: list[msgspec.Struct] = []
    size = 0
    for piece in pieces:
        text = encoder.encode(piece)
        size += len(text)
        if len(taken) == LISTED or size > LISTED_BYTES:
            break
        taken.append(msgspec.Raw(text))  # type: ignore[arg-type]  # it is encoded as the piece is
    return taken


def _list_waits(scan: Scan, state: State, encoder: DocumentEncoder, waits_url: str | None) -> Iterator[WaitDocument]:
    """What the run waits for; nothing more after an input that the journal has lost."""
    for path in find_waiting_steps(state):
        try:
            yield from (make_wait(each, state, waits_url) for each in load_questions(scan, path, state.steps[path]))
        except RunUnreadable as lost:
            encoder.missing = lost
            return


def make_wait(question: Question, state: State, waits_url: str | None) -> WaitDocument:
    """One thing that a run waits for; it has no link without the URL at which links are answered."""
    return WaitDocument(
        step=question.step,
        name=question.name or None,
        kind=question.kind,
        since=format_time(state.steps[question.step].scheduled_at),
        due_at=format_time(question.due),
        title=question.title,
        to=list(question.to),
        fields=question.fields,
        type=question.type,
        match=question.match,
        link=question.link(state.run, state.started, waits_url),
    )


def _list_repeats(scan: Scan, run: str) -> list[RepeatDocument]:
    """The newest runs that repeat this one. What kind of repetition each is stands in its first entry."""
    return [
        RepeatDocument(each.id, source.kind if (source := scan.find_source(each.id)) else None, each.status)
        for each in scan.list_repeats(run, REPEATS_SHOWN)
    ]
