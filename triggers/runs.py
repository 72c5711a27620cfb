"""A run as people and programs read it: its history told as one JSON document."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from durable.history import (
    AnyEntry,
    AttemptFailed,
    AttemptLost,
    Await,
    Failure,
    Parent,
    RunStatus,
    Slot,
    State,
    StepCompleted,
    StepScheduled,
    fold,
    values,
)
from durable.journal import DeliveryRow, Reads, RunRow
from durable.scope import described
from durable.values import JSON, Value
from triggers.missing import RunMissing
from triggers.waits.proofs import blotted
from triggers.waits.question import Question, questions

MOMENTS = {"started_at", "deadline", "due", "since", "not_before", "expires_at"}
"""The fields of entries that are times."""

UNTOLD = {"at", "links", "secrets", "undo_secrets"}
"""The fields of entries that are told in another way, or, as the key of links, never."""


async def find(reads: Reads, run: str) -> RunRow:
    """A run's row; raises `RunMissing`."""
    found = await reads.run(run)
    if found is None:
        raise RunMissing(run)
    return found


async def tell(reads: Reads, run: str, *, may_answer: bool = True) -> dict[str, JSON]:
    """A run as one document; raises `RunMissing`. Whoever may not answer its waits sees no link to them."""
    found = await find(reads, run)
    entries = [entry for _, entry in await loaded_history(reads, run)]
    state = fold(run, entries)
    called = [step.child for step in state.steps.values() if step.child]
    statuses = await reads.statuses(called) if called else {}
    document = whole(found, state, entries, statuses, may_answer=may_answer)
    return document if may_answer else blotted(document)


async def history(
    reads: Reads, run: str, after: int = 0, limit: int | None = None, *, may_answer: bool = True
) -> list[dict[str, JSON]]:
    """A run's history after entry `after`, entry by entry; raises `RunMissing`. Whoever may not answer the run's waits
    sees no link to them."""
    await find(reads, run)
    lines = [told(number, entry) for number, entry in await loaded_history(reads, run, after, limit)]
    return lines if may_answer else blotted(lines)


async def loaded_history(
    reads: Reads, run: str, after: int = 0, limit: int | None = None
) -> list[tuple[int, AnyEntry]]:
    """A run's entries with their numbers, and with the bytes of large values."""
    entries = await reads.history(run, after, limit)
    for _, entry in entries:
        for value in values(entry).values():
            if value.ref and not value.is_loaded:
                value.attach(await reads.payload(value.ref))
    return entries


def moment(at: int | None) -> str | None:
    """Milliseconds as ISO 8601 in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row(run: RunRow) -> dict[str, JSON]:
    """A run as a line of a list."""
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "status": run.status,
        "reason": run.reason,
        "trigger": run.trigger,
        "event": run.event,
        "tags": list(run.tags),
        "created_at": moment(run.created_at),
        "finished_at": moment(run.finished_at),
    }


def whole(
    run: RunRow, state: State, entries: Iterable[AnyEntry], called: Mapping[str, RunStatus], *, may_answer: bool
) -> dict[str, JSON]:
    """A run with its inputs, outputs, error and steps by path; the history's values are in memory, and `called` are the
    statuses of the runs that it called."""
    started, main = state.started, state.main
    cleanup_error = state.finished.cleanup_error if state.finished else None
    parent = started.parent if started else None
    return row(run) | {
        "version": run.version,
        "inputs": state.inputs.load(),
        "outputs": main.outputs.load() if main else None,
        "answer": state.answer.load() if state.answer else None,
        "error": described(state.error) if state.error else None,
        "cleanup_error": described(cleanup_error) if cleanup_error else None,
        "reason": state.reason or (state.ending.reason if state.ending else None) or run.reason,
        "due_at": moment(run.due_at),
        "not_before": moment(started.not_before) if started else None,
        "expires_at": moment(started.expires_at) if started else None,
        "priority": started.priority if started else 0,
        "parent": {"run": parent.run, "step": parent.path} if parent else None,
        "children": _children(state, called),
        "waits": [wait_told(question, state, may_answer=may_answer) for question in questions(state)],
        "undo": _undo(state),
        "steps": _steps(state, entries),
    }


def wait_told(question: Question, state: State, *, may_answer: bool) -> dict[str, JSON]:
    """One thing that a run waits for."""
    return {
        "step": question.step,
        "name": question.name or None,
        "kind": question.kind,
        "due_at": moment(question.due),
        "title": question.title,
        "to": list(question.to),
        "fields": question.fields,
        "type": question.type,
        "match": question.match,
        "link": question.link(state.run, state.started) if may_answer else None,
    }


def _children(state: State, called: Mapping[str, RunStatus]) -> list[JSON]:
    """The runs that it called; one that has not begun has no status."""
    return [
        {"step": path, "run": step.child, "status": called.get(step.child)}
        for path, step in state.steps.items()
        if step.child
    ]


def _undo(state: State) -> list[JSON]:
    """The steps whose effect can be taken back, was, or could not be."""
    return [
        {"step": path, "status": undo.status, "error": described(undo.error) if undo.error else None}
        for path, undo in state.undos.items()
        if undo.status != "registered" or undo.input is not None or state.steps[path].is_doubtful
    ]


def told(number: int, entry: AnyEntry) -> dict[str, JSON]:
    """An entry as a line of the history."""
    line: dict[str, JSON] = {"sequence": number, "at": moment(entry.at), "type": str(entry.__struct_config__.tag)}
    line |= _fields(entry)
    match entry:
        case StepScheduled():
            line["input"] = unfilled(entry.input.load(), entry.secrets)
        case StepCompleted(undo=Value() as undo):
            line["undo"] = unfilled(undo.load(), entry.undo_secrets)
    return {name: value for name, value in line.items() if value is not None}


def _fields(struct: msgspec.Struct) -> dict[str, JSON]:
    return {
        name: moment(value) if name in MOMENTS else _plain(value)
        for name, value in ((name, getattr(struct, name)) for name in struct.__struct_fields__ if name not in UNTOLD)
    }


def unfilled(input: JSON, slots: Sequence[Slot]) -> JSON:
    """An input as people read it: each secret as the reference that stands for it."""
    for slot in slots:
        text = "".join(part if isinstance(part, str) else f"{{{{ secrets.{part.secret} }}}}" for part in slot.parts)
        input = _put(input, slot.pointer, text)
    return input


def _put(tree: JSON, pointer: Sequence[str | int], text: str) -> JSON:
    if not pointer:
        return text
    head, *rest = pointer
    if isinstance(tree, dict):
        return tree | {str(head): _put(tree.get(str(head)), rest, text)}
    if isinstance(tree, list) and isinstance(head, int):
        return [*tree[:head], _put(tree[head], rest, text), *tree[head + 1 :]]
    return tree


def _plain(value: object) -> JSON:
    match value:
        case Value():
            return value.load()
        case Failure():
            return described(value)
        case None | bool() | int() | str():
            return value
        case list() | tuple():
            return [_plain(item) for item in value]
        case Await() | Parent():
            return {name: said for name, said in _fields(value).items() if said not in (None, "")}
    return str(value)


def _steps(state: State, entries: Iterable[AnyEntry]) -> dict[str, JSON]:
    attempts = _attempts(entries)
    return {
        path: {
            "status": step.status,
            "input": unfilled(step.input.load(), step.secrets),
            "output": step.output.load(),
            "error": described(step.error) if step.error else None,
            "attempts": len(attempts.get(path, ())) or step.attempt,
            "scheduled_at": moment(step.scheduled_at),
            "finished_at": moment(step.finished_at),
            "due_at": moment(step.due),
            "decision_needed": step.needs_person,
            "tries": list(attempts.get(path, ())),
        }
        for path, step in state.steps.items()
    }


def _attempts(entries: Iterable[AnyEntry]) -> dict[str, list[dict[str, JSON]]]:
    """What became of each attempt that has ended, by step."""
    found: dict[str, list[dict[str, JSON]]] = {}
    for entry in entries:
        match entry:
            case StepCompleted(attempt=0):
                pass
            case StepCompleted():
                _add(found, entry, entry.started_at, "completed", None)
            case AttemptFailed():
                _add(found, entry, entry.started_at, entry.ending, entry.error)
            case AttemptLost():
                _add(found, entry, None, "lost", None)
    return found


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
            "started_at": moment(started_at),
            "ended_at": moment(entry.at),
            "ending": ending,
            "error": described(error) if error else None,
        }
    )


def delivery(found: DeliveryRow) -> dict[str, JSON]:
    """A delivery as a line of a list."""
    return {
        "id": found.id,
        "trigger": found.trigger,
        "method": found.method,
        "path": found.path,
        "at": moment(found.at),
        "outcome": found.outcome,
        "reason": found.reason,
        "event": found.event,
        "size": found.size,
    }
