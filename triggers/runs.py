"""A run as people and programs read it: its history told as one JSON document.

A document is as long as the run's author made it, so it is read, folded and encoded in a thread for that, a piece at a
time; what is stored as JSON goes into it as it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from durable.clock import now
from durable.history.entries import AnyEntry, AttemptFailed, AttemptLost, StepCompleted, StepScheduled
from durable.history.state import State, StepState
from durable.history.words import Await, Failure, Parent, RunStatus
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.scope import to_document
from durable.units import Delivery, Run
from durable.values import JSON, Value
from triggers.encoder import DocumentEncoder
from triggers.not_found import RunNotFound
from triggers.waits.proofs import disarm_links
from triggers.waits.question import Question, find_questions
from triggers.waits.wait import load_inputs

TIME_FIELDS = {"started_at", "deadline", "due", "since", "not_before", "expires_at"}
"""The fields of entries that are times."""

HIDDEN_FIELDS = {"at", "links", "secrets", "undo_secrets"}
"""The fields of entries that are told in another way, or, as the key of links, never."""

PAGE_BYTES = 8_000_000
"""Bytes of a page of a history after which it ends, though it may have more entries."""


ExplainWait = Callable[[Run], str | None]
"""Which limit of the service's own an unfinished run waits for; None if it waits for none."""


def _explain_nothing(run: Run) -> None:
    """Where no service is that knows."""


async def find_run(reads: Reads, run: str) -> Run:
    """A run's row; raises `RunNotFound`."""
    found = await reads.find_run(run)
    if found is None:
        raise RunNotFound(run)
    return found


async def encode_run(
    reads: Reads, run: str, *, may_answer: bool = True, explain_wait: ExplainWait = _explain_nothing
) -> bytes:
    """A run as one JSON document; raises `RunNotFound`. Without `may_answer` it has no links to its waits. What it
    waits for that its history does not tell is its reason if it has no other."""
    found = await find_run(reads, run)
    if found.finished_at is None:
        found = msgspec.structs.replace(found, reason=found.reason or explain_wait(found))
    return await reads.scan(
        lambda scan: _encode_run(scan, found, DocumentEncoder(scan, run, may_answer=may_answer)), found.sequence
    )


async def encode_history(
    reads: Reads, run: str, after: int = 0, limit: int = 1_000, *, may_answer: bool = True
) -> tuple[bytes, int | None]:
    """A page of a run's history after entry `after`, as a JSON array of `limit` entries, or fewer where they are large,
    and the entry after which to go on; raises `RunNotFound`. Without `may_answer` it has no links to
    the run's waits."""
    found = await find_run(reads, run)
    return await reads.scan(
        lambda scan: _encode_history(scan, found, after, limit, DocumentEncoder(scan, run, may_answer=may_answer)),
        min(limit, found.sequence - after),
    )


def format_time(at: int | None) -> str | None:
    """Milliseconds as ISO 8601 in UTC."""
    if at is None:
        return None
    try:
        found = datetime.fromtimestamp(at / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # of a damaged row: it must not hide the others
        return None
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def describe_run_row(run: Run) -> dict[str, JSON]:
    """A run as a line of a list."""
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "status": run.status,
        "reason": run.reason,
        "trigger": run.trigger,
        "event": run.event,
        "tags": list(run.tags),
        "created_at": format_time(run.created_at),
        "finished_at": format_time(run.finished_at),
    }


async def describe_rows(reads: Reads, found: Sequence[Run], *, may_answer: bool) -> list[dict[str, JSON]]:
    """Runs as lines of a list. Without `may_answer`, their reasons have no links to waits."""
    if may_answer or not any(run.reason for run in found):
        return [describe_run_row(run) for run in found]
    return await reads.scan(
        lambda scan: [
            disarm_links(scan, run.id, describe_run_row(run)) if run.reason else describe_run_row(run) for run in found
        ],
        len(found),
    )


# -- one run ----------------------------------------------------------------------------------------------------


def _encode_run(scan: Scan, run: Run, encoder: DocumentEncoder) -> bytes:
    """A run with its inputs, outputs, error and steps by path. Where its history cannot be read, it is told up to
    there, with the reason."""
    attempts: dict[str, list[dict[str, JSON]]] = {}
    state, unreadable = scan.replay(run.id, run.sequence, lambda entry: _add_attempt(attempts, entry))
    called = [step.child for step in state.steps.values() if step.child]
    statuses = scan.find_statuses(called)
    try:
        asked = find_questions(load_inputs(scan, state))
    except RunUnreadable as lost:
        encoder.missing, asked = lost, iter(())
    waits = (describe_wait(question, state, may_answer=encoder.may_answer) for question in asked)
    performed_until = _performed_until(run, state)
    parts = {
        "children": encoder.array(_children(state, statuses)),
        "waits": encoder.array(waits),
        "undo": encoder.array(_undo(state)),
        "steps": encoder.mapping(
            (path, _step(step, attempts.get(path, []), performed_until, encoder)) for path, step in state.steps.items()
        ),
    }
    head = _head(run, state, encoder)
    if why := unreadable or encoder.missing:
        head["reason"] = str(why)
    return b"".join(
        [encoder.encode(head)[:-1], *(b',"%b":%b' % (name.encode(), part) for name, part in parts.items()), b"}"]
    )


def _head(run: Run, state: State, encoder: DocumentEncoder) -> dict[str, object]:
    started, main = state.started, state.main
    cleanup_error = state.finished.cleanup_error if state.finished else None
    parent = started.parent if started else None
    return describe_run_row(run) | {
        "version": run.version,
        "inputs": encoder.raw(state.inputs),
        "outputs": encoder.raw(main.outputs) if main else None,
        "answer": encoder.raw(state.answer) if state.answer else None,
        "error": to_document(state.error) if state.error else None,
        "cleanup_error": to_document(cleanup_error) if cleanup_error else None,
        "reason": state.reason or (state.ending.reason if state.ending else None) or run.reason,
        "due_at": format_time(run.due_at),
        "not_before": format_time(started.not_before) if started else None,
        "expires_at": format_time(started.expires_at) if started else None,
        "priority": started.priority if started else 0,
        "parent": {"run": parent.run, "step": parent.path} if parent else None,
    }


def describe_wait(question: Question, state: State, *, may_answer: bool) -> dict[str, JSON]:
    """One thing that a run waits for."""
    return {
        "step": question.step,
        "name": question.name or None,
        "kind": question.kind,
        "due_at": format_time(question.due),
        "title": question.title,
        "to": list(question.to),
        "fields": question.fields,
        "type": question.type,
        "match": question.match,
        "link": question.link(state.run, state.started) if may_answer else None,
    }


def _children(state: State, called: Mapping[str, RunStatus]) -> Iterator[JSON]:
    """The runs that it called; one that has not begun has no status."""
    for path, step in state.steps.items():
        if step.child:
            yield {"step": path, "run": step.child, "status": called.get(step.child)}


def _undo(state: State) -> Iterator[JSON]:
    """The steps whose effect can be taken back, was, or could not be."""
    for path, undo in state.undos.items():
        if undo.status != "registered" or undo.input is not None or state.steps[path].is_doubtful:
            yield {"step": path, "status": undo.status, "error": to_document(undo.error) if undo.error else None}


def _performed_until(run: Run, state: State) -> int:
    """The time (ms) by which an attempt must have been due to have begun: none begins in a run that is paused, or that
    nobody owns."""
    if run.node is None:
        return 0
    return now() if state.paused_at is None else state.paused_at


def _step(
    step: StepState, attempts: Sequence[dict[str, JSON]], performed_until: int, encoder: DocumentEncoder
) -> dict[str, object]:
    return {
        "status": step.status,
        "input": encoder.input(step.input, step.secrets),
        "output": encoder.raw(step.output),
        "error": to_document(step.error) if step.error else None,
        "attempts": step.attempt - step.is_backing_off(performed_until),
        "scheduled_at": format_time(step.scheduled_at),
        "finished_at": format_time(step.finished_at),
        "due_at": format_time(step.due),
        "decision_needed": step.needs_person,
        "tries": attempts,
    }


# -- its history ------------------------------------------------------------------------------------------------


def _encode_history(scan: Scan, run: Run, after: int, limit: int, encoder: DocumentEncoder) -> tuple[bytes, int | None]:
    lines: list[bytes] = []
    size, last = 0, after
    try:
        for number, entry in scan.read_entries(run.id, after):
            lines.append(encoder.encode(describe_entry(number, entry, encoder)))
            size, last = size + len(lines[-1]), number
            if len(lines) == limit or size > PAGE_BYTES:
                break
    except RunUnreadable:
        if not lines:  # otherwise the next page says so
            raise
    return b"[%b]" % b",".join(lines), last if last < run.sequence and lines else None


def describe_entry(number: int, entry: AnyEntry, encoder: DocumentEncoder) -> dict[str, object]:
    """An entry as a line of the history."""
    line: dict[str, object] = {
        "sequence": number,
        "at": format_time(entry.at),
        "type": str(entry.__struct_config__.tag),
    }
    line |= _fields(entry, encoder)
    match entry:
        case StepScheduled():
            line["input"] = encoder.input(entry.input, entry.secrets)
        case StepCompleted(undo=Value() as undo):
            line["undo"] = encoder.input(undo, entry.undo_secrets)
    return {name: value for name, value in line.items() if value is not None}


def _fields(struct: msgspec.Struct, encoder: DocumentEncoder) -> dict[str, object]:
    return {
        name: format_time(value) if name in TIME_FIELDS else _plain(value, encoder)
        for name, value in (
            (name, getattr(struct, name)) for name in struct.__struct_fields__ if name not in HIDDEN_FIELDS
        )
    }


def _plain(value: object, encoder: DocumentEncoder) -> object:
    match value:
        case Value():
            return encoder.raw(value)
        case Failure():
            return to_document(value)
        case None | bool() | int() | str():
            return value
        case list() | tuple():
            return [_plain(item, encoder) for item in value]
        case Await() | Parent():
            return {name: said for name, said in _fields(value, encoder).items() if said not in (None, "")}
    return str(value)


def _add_attempt(found: dict[str, list[dict[str, JSON]]], entry: AnyEntry) -> None:
    """Note what became of an attempt that has ended, by step."""
    match entry:
        case StepCompleted(attempt=0):
            pass
        case StepCompleted():
            _add(found, entry, entry.started_at, "completed", None)
        case AttemptFailed():
            _add(found, entry, entry.started_at, entry.ending, entry.error)
        case AttemptLost():
            _add(found, entry, entry.started_at, "lost", entry.error)


def _add(
    found: dict[str, list[dict[str, JSON]]],
    entry: StepCompleted | AttemptFailed | AttemptLost,
    started_at: int | None,
    ending: str,
    error: Failure | None,
) -> None:
    found.setdefault(entry.path, []).append(
        {
            "attempt": entry.attempt,
            "started_at": format_time(started_at),
            "ended_at": format_time(entry.at),
            "ending": ending,
            "error": to_document(error) if error else None,
        }
    )


def describe_delivery(found: Delivery) -> dict[str, JSON]:
    """A delivery as a line of a list."""
    return {
        "id": found.id,
        "trigger": found.trigger,
        "method": found.method,
        "path": found.path,
        "at": format_time(found.at),
        "outcome": found.outcome,
        "reason": found.reason,
        "event": found.event,
        "size": found.size,
    }
