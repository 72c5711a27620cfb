"""Payloads: large values, each stored once under the SHA-256 of its bytes and shared by all rows that refer to it.

A payload has owners: the runs and events whose rows refer to it. A unit that writes a reference writes the owner too,
and a unit that removes the last owner removes the payload. So a payload exists as long as it is referred to.
"""

import hashlib
from typing import TypeAlias

import msgspec
from sqlalchemy import Connection, bindparam, delete, exists, select

from durable.journal.dialect import SQL, Cursor
from durable.journal.errors import RunUnreadable
from durable.journal.tables import payload_owners, payloads
from durable.values import Value

Payloads: TypeAlias = dict[str, bytes | None]
"""The payloads that a row refers to, by their SHA-256 in hex: their bytes, or None for those that are stored
already."""

DECODING_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, TypeError)
"""The errors that decoding raises if a column is damaged."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Value).decode


class PayloadWrites:
    """Writes payloads, for units."""

    def __init__(self, sql: SQL) -> None:
        of_owner = payload_owners.c.owner == bindparam("of")
        has_owner = exists().where(payload_owners.c.ref == payloads.c.ref)
        self._add_sql = sql.compile(sql.insert(payloads).on_conflict_do_nothing())
        self._own_sql = sql.compile(sql.insert(payload_owners).on_conflict_do_nothing())
        self._list_owned_sql = sql.compile(select(payload_owners.c.ref).where(of_owner))
        self._disown_sql = sql.compile(delete(payload_owners).where(of_owner))
        self._remove_sql = sql.compile(delete(payloads).where(payloads.c.ref == bindparam("of_ref"), ~has_owner))

    def add(self, cursor: Cursor, owner: str, values: Payloads) -> None:
        """Store what a row of the run or event `owner` refers to."""
        for ref, data in values.items():
            if data is not None:
                cursor.execute(self._add_sql, {"ref": ref, "data": data})
            cursor.execute(self._own_sql, {"ref": ref, "owner": owner})

    def disown(self, cursor: Cursor, owner: str) -> None:
        """Forget what the rows of `owner`, which are being removed, refer to. Payloads without another owner are
        removed."""
        cursor.execute(self._list_owned_sql, {"of": owner})
        if refs := cursor.fetchall():
            cursor.execute(self._disown_sql, {"of": owner})
            for (ref,) in refs:
                cursor.execute(self._remove_sql, {"of_ref": ref})


def encode_value(value: Value, large: Payloads) -> bytes:
    """Encode a value for a column. A large value is added to `large`, and the column stores a reference to it."""
    if value.ref is None:
        return _encode(value)
    large[value.ref] = bytes(value.data) if value.is_loaded else None
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
