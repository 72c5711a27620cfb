"""A run's history as pages of JSON.

It is as long as the run's author made it, so it is read and encoded in a thread for that, an entry at a time.
"""

from collections.abc import Collection
from typing import cast

import msgspec

from durable.history.encoding import list_value_fields
from durable.history.entries import AnyEntry, StepCompleted, StepScheduled
from durable.history.words import Failure
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run
from durable.values import NULL, Value
from triggers.documents.fields import format_time
from triggers.documents.runs import EntryDocument, FailureDocument
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.entry_text import describe_entry
from triggers.runs.rows import find_run
from triggers.runs.version_steps import load_version_steps

TIME_FIELDS = {"started_at", "deadline", "due", "since", "not_before", "expires_at"}
"""The fields of entries that are times."""

HIDDEN_FIELDS = {"at", "links", "secrets", "undo_secrets"}
"""The fields of entries that are shown in another way, or, as the key of links, never."""

PAGE_BYTES = 8_000_000
"""A page ends after so many bytes, even if it has fewer entries than the limit."""


async def encode_history(
    reads: Reads,
    run: str,
    after: int = 0,
    limit: int = 1_000,
    part_limit: int | None = None,
    *,
    may_answer: bool = True,
) -> tuple[bytes, int | None]:
    """Encode a page of a run's history after entry `after`: a JSON array of `limit` entries, or fewer where they are
    large, and the entry after which the next page begins. Values of more bytes than `part_limit` are left out. Raises
    `RunNotFound`. Without `may_answer` it has no links.
    """
    found = await find_run(reads, run)
    return await reads.scan(
        lambda scan: _encode_history(
            scan, found, after, limit, part_limit, DocumentEncoder(scan, run, may_answer=may_answer)
        ),
        min(limit, found.sequence - after),
    )


def _encode_history(
    scan: Scan, run: Run, after: int, limit: int, part_limit: int | None, encoder: DocumentEncoder
) -> tuple[bytes, int | None]:
    lines: list[bytes] = []
    size, last = 0, after
    version = load_version_steps(scan.load_definition(run.version))
    try:
        for number, entry in scan.read_entries(run.id, after):
            omitted = _list_large(entry, part_limit)
            line = make_entry(number, msgspec.structs.replace(entry, **dict.fromkeys(omitted, NULL)), encoder)
            line["text"] = describe_entry(entry, version)
            if omitted:
                line["omitted"] = omitted
            lines.append(encoder.encode(line))
            size, last = size + len(lines[-1]), number
            if len(lines) == limit or size > PAGE_BYTES:
                break
    except RunUnreadable:
        if not lines:  # otherwise the next page says so
            raise
    return b"[%b]" % b",".join(lines), last if last < run.sequence and lines else None


def _list_large(entry: AnyEntry, limit: int | None) -> list[str]:
    """List the fields of an entry whose values have more bytes than the limit."""
    if limit is None:
        return []
    return [name for name in list_value_fields(entry) if (value := getattr(entry, name)) and value.size > limit]


def make_entry(
    number: int, entry: AnyEntry, encoder: DocumentEncoder, shown: Collection[str] | None = None
) -> EntryDocument:
    """An entry of the history with the keys of its type, or only those `shown`."""
    line: dict[str, object] = {
        "sequence": number,
        "at": format_time(entry.at),
        "type": str(entry.__struct_config__.tag),
    }
    line |= _list_fields(entry, encoder, shown)
    match entry:
        case StepScheduled() if shown is None:
            line["input"] = encoder.input(entry.input, entry.secrets)
        case StepCompleted(undo=Value() as undo) if shown is None:
            line["undo"] = encoder.input(undo, entry.undo_secrets)
    return cast(EntryDocument, {name: value for name, value in line.items() if value is not None})


def _list_fields(
    struct: msgspec.Struct, encoder: DocumentEncoder, shown: Collection[str] | None = None
) -> dict[str, object]:
    return {
        name: format_time(value) if name in TIME_FIELDS else _to_json(value, encoder)
        for name, value in (
            (name, getattr(struct, name))
            for name in struct.__struct_fields__
            if (name not in HIDDEN_FIELDS if shown is None else name in shown)
        )
    }


def _to_json(value: object, encoder: DocumentEncoder) -> object:
    match value:
        case Value():
            return encoder.raw(value)
        case Failure():
            return FailureDocument.of(value)
        case None | bool() | int() | str():
            return value
        case list() | tuple():
            return [_to_json(item, encoder) for item in value]
        case msgspec.Struct():
            return {name: part for name, part in _list_fields(value, encoder).items() if part not in (None, "")}
    return str(value)
