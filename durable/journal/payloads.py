"""Payloads: large values, each stored once under the SHA-256 of its bytes and shared by all rows that refer to it."""

import hashlib
from typing import TypeAlias

import msgspec
from sqlalchemy import Connection, select

from durable.journal.dialect import SQL, Cursor
from durable.journal.errors import RunUnreadable
from durable.journal.tables import payloads
from durable.values import Value

Payloads: TypeAlias = dict[str, bytes]
"""The payload rows that a unit adds: bytes by their SHA-256 in hex."""

DECODING_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, TypeError)
"""The errors that decoding raises if a column is damaged."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Value).decode


class PayloadWrites:
    """Writes payloads, for units."""

    def __init__(self, sql: SQL) -> None:
        self._add_sql = sql.compile(sql.insert(payloads).on_conflict_do_nothing())

    def add(self, cursor: Cursor, values: Payloads) -> None:
        for ref, data in values.items():
            cursor.execute(self._add_sql, {"ref": ref, "data": data})


def encode_value(value: Value, large: Payloads) -> bytes:
    """Encode a value for a column. A large value is added to `large`, and the column stores a reference to it."""
    if value.ref is None:
        return _encode(value)
    if value.is_loaded:
        large[value.ref] = bytes(value.data)
    return _encode(value.reference())


def decode_value(data: bytes) -> Value:
    """Decode the value of a column; the bytes of a large value are not loaded."""
    return _decode(data)


def load_payload(connection: Connection, ref: str) -> bytes:
    """Load the bytes of a large value; raises `RunUnreadable` if they are missing or damaged."""
    data = connection.scalar(select(payloads.c.data).where(payloads.c.ref == ref))
    if data is None:
        raise RunUnreadable("", f"the journal holds no payload {ref}, which is a value of the run")
    if hashlib.sha256(data).hexdigest() != ref:
        raise RunUnreadable("", f"the journal's payload {ref}, which is a value of the run, is damaged")
    return bytes(data)
