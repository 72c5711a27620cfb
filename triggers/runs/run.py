"""One run as a JSON document: its head, its steps with their attempts, and what it waits for.

It is as long as the run's author made it, so its history is read and replayed, and the document encoded, in a thread
for that, a piece at a time; what is stored as JSON goes into it as it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from durable.action import Ending
from durable.clock import now
from durable.history.entries import AnyEntry, AttemptFailed, AttemptLost, StepCompleted
from durable.history.state import State, StepState
from durable.history.words import Failure, RunStatus
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run
from triggers.documents.fields import format_time
from triggers.documents.runs import (
    AttemptDocument,
    CalledRunDocument,
    CallingStepDocument,
    FailureDocument,
    RepeatDocument,
    RunDocument,
    RunLineDocument,
    SourceDocument,
    StepDocument,
    UndoDocument,
)
from triggers.documents.starts import EndedDocument
from triggers.documents.waits import WaitDocument
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.rows import ExplainProgress, explain_nothing, find_run, list_run_lines
from triggers.runs.why import explain_run
from triggers.waits.question import Question, find_questions
from triggers.waits.wait import load_inputs

REPEATS_SHOWN = 20
"""How many of the runs that repeat a run are listed with it."""


async def encode_run(
    reads: Reads,
    run: str,
    *,
    may_answer: bool = True,
    waits_url: str | None = None,
    explain: ExplainProgress = explain_nothing,
) -> bytes:
    """Encode a `RunDocument`; raises `RunNotFound`. `waits_url` is where links to waits are answered now. Without it
    the document has no links to its waits, and without `may_answer` no links at all."""
    found = await find_run(reads, run)
    (line,) = await list_run_lines(reads, [found], now(), may_answer=True, explain=explain)

    def encode(scan: Scan) -> bytes:
        encoder = DocumentEncoder(scan, run, may_answer=may_answer)
        return msgspec.json.encode(_make_run(scan, found, line, encoder, waits_url))

    return await reads.scan(encode, found.sequence)


async def encode_ended_run(reads: Reads, run: str, *, is_duplicate: bool) -> bytes:
    """Encode an `EndedDocument`; raises `RunNotFound`."""
    found = await find_run(reads, run)
    line = RunLineDocument.of(found, explain_run(found, now()))

    def encode(scan: Scan) -> bytes:
        document = _make_run(scan, found, line, DocumentEncoder(scan, run, may_answer=True), None)
        return msgspec.json.encode(EndedDocument(**msgspec.structs.asdict(document), duplicate=is_duplicate))

    return await reads.scan(encode, found.sequence)


def _make_run(
    scan: Scan, run: Run, line: RunLineDocument, encoder: DocumentEncoder, waits_url: str | None
) -> RunDocument:
    """The run, of pieces that are encoded already. One whose history cannot be read is shown up to there, with the
    reason."""
    attempts: dict[str, list[AttemptDocument]] = {}
    state, unreadable = scan.replay(run.id, run.sequence, lambda entry: _add_attempt(attempts, entry))
    try:
        questions = find_questions(load_inputs(scan, state))
    except RunUnreadable as lost:
        encoder.missing, questions = lost, iter(())
    children = [encoder.encode_piece(each) for each in _list_children(state, _find_statuses(scan, state))]
    shown_url = waits_url if encoder.may_answer else None
    waits = [encoder.encode_piece(make_wait(each, state, shown_url)) for each in questions]
    undo = [encoder.encode_piece(each) for each in _list_undos(state)]
    performed_until = _find_performed_until(run, state)
    steps = {
        path: encoder.encode_piece(_make_step(step, attempts.get(path, []), performed_until, encoder))
        for path, step in state.steps.items()
    }
    started, main = state.started, state.main
    values = [state.inputs, main.outputs if main else None, state.answer]
    inputs, outputs, answer = (encoder.encode_piece(encoder.raw(value) if value else None) for value in values)
    cleanup_error = state.finished.cleanup_error if state.finished else None
    problem = unreadable or encoder.missing
    reason = str(problem) if problem else state.reason or (state.ending.reason if state.ending else None) or run.reason
    line = msgspec.structs.replace(line, reason=reason, why=str(problem) if problem else line.why)
    line = encoder.redact_links(line)
    return RunDocument(
        **(msgspec.structs.asdict(line) | {"error": encoder.encode_piece(FailureDocument.of(state.error))}),
        version=run.version,
        inputs=inputs,
        outputs=outputs,
        answer=answer,
        cleanup_error=encoder.encode_piece(FailureDocument.of(cleanup_error)),
        due_at=format_time(run.due_at),
        not_before=format_time(started.not_before) if started else None,
        expires_at=format_time(started.expires_at) if started else None,
        priority=started.priority if started else 0,
        source=SourceDocument.of_run(started.source) if started else None,
        repeats=_list_repeats(scan, run.id),
        parent=CallingStepDocument(started.parent.run, started.parent.path) if started and started.parent else None,
        children=children,
        waits=waits,
        undo=undo,
        steps=steps,
    )


def make_wait(question: Question, state: State, waits_url: str | None) -> WaitDocument:
    """One thing that a run waits for; it has no link without the URL at which links are answered."""
    return WaitDocument(
        step=question.step,
        name=question.name or None,
        kind=question.kind,
        due_at=format_time(question.due),
        title=question.title,
        to=list(question.to),
        fields=question.fields,
        type=question.type,
        match=question.match,
        link=question.link(state.run, state.started, waits_url),
    )


def _find_statuses(scan: Scan, state: State) -> Mapping[str, RunStatus]:
    return scan.find_statuses([step.child for step in state.steps.values() if step.child])


def _list_children(state: State, statuses: Mapping[str, RunStatus]) -> Iterator[CalledRunDocument]:
    """The runs that it called; one that has not begun has no status."""
    for path, step in state.steps.items():
        if step.child:
            yield CalledRunDocument(path, step.child, statuses.get(step.child))


def _list_repeats(scan: Scan, run: str) -> list[RepeatDocument]:
    """The newest runs that repeat this one. What kind of repetition each is stands in its first entry."""
    return [
        RepeatDocument(each.id, source.kind if (source := scan.find_source(each.id)) else None, each.status)
        for each in scan.list_repeats(run, REPEATS_SHOWN)
    ]


def _list_undos(state: State) -> Iterator[UndoDocument]:
    """The steps whose effect can be taken back, was, or could not be."""
    for path, undo in state.undos.items():
        if undo.status != "registered" or undo.input is not None or state.steps[path].is_doubtful:
            yield UndoDocument(path, undo.status, FailureDocument.of(undo.error))


def _find_performed_until(run: Run, state: State) -> int:
    """The time (ms) by which an attempt must have been due to have begun: none begins in a run that is paused, or that
    no node owns."""
    if run.node is None:
        return 0
    return now() if state.paused_at is None else state.paused_at


def _make_step(
    step: StepState, attempts: Sequence[AttemptDocument], performed_until: int, encoder: DocumentEncoder
) -> StepDocument:
    return StepDocument(
        status=step.status,
        input=encoder.input(step.input, step.secrets),
        output=encoder.raw(step.output),
        error=FailureDocument.of(step.error),
        attempts=step.attempt - step.is_backing_off(performed_until),
        scheduled_at=format_time(step.scheduled_at),
        finished_at=format_time(step.finished_at),
        due_at=format_time(step.due),
        decision_needed=step.needs_person,
        tries=list(attempts),
    )


def _add_attempt(attempts: dict[str, list[AttemptDocument]], entry: AnyEntry) -> None:
    """Note the outcome of an attempt that has ended, by step."""
    ending: Ending | Literal["completed", "lost"]
    error: Failure | None
    if not isinstance(entry, StepCompleted | AttemptFailed | AttemptLost):
        return
    match entry:
        case StepCompleted(attempt=0):
            return
        case StepCompleted():
            started_at, ending, error = entry.started_at, "completed", None
        case AttemptFailed():
            started_at, ending, error = entry.started_at, entry.ending, entry.error
        case AttemptLost():
            started_at, ending, error = entry.started_at, "lost", entry.error
    attempts.setdefault(entry.path, []).append(
        AttemptDocument(
            attempt=entry.attempt,
            started_at=format_time(started_at),
            ended_at=format_time(entry.at),
            ending=ending,
            error=FailureDocument.of(error),
        )
    )
