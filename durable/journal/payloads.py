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
"""The bytes of large values, by their SHA-256 in hex: the rows that a unit adds."""

DECODING_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, TypeError)
"""What decoding raises for a column that does not hold what was written."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Value).decode


class PayloadWrites:
    """What units write of payloads."""

    def __init__(self, sql: SQL) -> None:
        self._add_sql = sql.compile(sql.insert(payloads).on_conflict_do_nothing())

    def add(self, cursor: Cursor, values: Payloads) -> None:
        for ref, data in values.items():
            cursor.execute(self._add_sql, {"ref": ref, "data": data})


def encode_value(value: Value, large: Payloads) -> bytes:
    """A value as a column stores it; a large one is added to `large`, and the column stores its reference."""
    if value.ref is None:
        return _encode(value)
    if value.is_loaded:
        large[value.ref] = bytes(value.data)
    return _encode(value.reference())


def decode_value(data: bytes) -> Value:
    """The value of a column; that of a large one comes without its bytes."""
    return _decode(data)


def load_payload(connection: Connection, ref: str) -> bytes:
    """The bytes of a large value; raises `RunUnreadable` if they are missing or damaged."""
    data = connection.scalar(select(payloads.c.data).where(payloads.c.ref == ref))
    if data is None:
        raise RunUnreadable("", f"the journal holds no payload {ref}, which is a value of the run")
    if hashlib.sha256(data).hexdigest() != ref:
        raise RunUnreadable("", f"the journal's payload {ref}, which is a value of the run, is damaged")
    return bytes(data)
