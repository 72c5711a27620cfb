"""The stored form of entries: JSON, with large values in separate rows."""

from collections.abc import Iterable
from typing import get_args

import msgspec

from durable.history.entries import AnyEntry
from durable.values import Value

_VALUES = frozenset({"inputs", "arrival", "input", "output", "outputs", "items", "data", "undo"})
_FIELDS = {kind: tuple(sorted(_VALUES.intersection(kind.__struct_fields__))) for kind in get_args(AnyEntry)}
"""The fields of each entry type that hold values; computed once, because each append reads them twice per entry."""

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(list[AnyEntry])


def encode_entries(entries: Iterable[AnyEntry]) -> tuple[bytes, dict[str, bytes | None]]:
    """Encode the entries of one append as a JSON array, with the payloads that they refer to, keyed by SHA-256: their
    bytes, or None for those that are not in memory, because they are stored already."""
    payloads: dict[str, bytes | None] = {}
    stored: list[AnyEntry] = []
    for entry in entries:
        references: dict[str, Value] = {}
        for name in _FIELDS[type(entry)]:
            value: Value | None = getattr(entry, name)
            if value is not None and value.ref is not None:
                references[name] = value.reference()
                if value.is_loaded or value.ref not in payloads:
                    payloads[value.ref] = bytes(value.data) if value.is_loaded else None
        stored.append(msgspec.structs.replace(entry, **references) if references else entry)
    return _encode(stored), payloads


def decode_entries(data: bytes) -> list[AnyEntry]:
    """Decode the entries of one append. Large values are not loaded."""
    return _decoder.decode(data)


def list_value_fields(entry: AnyEntry) -> tuple[str, ...]:
    """Return the fields of an entry that hold values, each perhaps None."""
    return _FIELDS[type(entry)]


def list_values(entry: AnyEntry) -> dict[str, Value]:
    """Return the values of an entry, by field name."""
    found = {name: getattr(entry, name) for name in _FIELDS[type(entry)]}
    return {name: value for name, value in found.items() if value is not None}


def detach_values(entries: Iterable[AnyEntry]) -> None:
    """Drop the bytes of large values from memory after they have been stored."""
    for entry in entries:
        for name in _FIELDS[type(entry)]:
            value: Value | None = getattr(entry, name)
            if value is not None and value.ref is not None:
                value.detach()
