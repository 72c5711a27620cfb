"""Encrypted values: secrets that people set, and the tokens of connections. The journal never sees them in plain
text."""

from typing import Any

from msgspec.structs import asdict
from sqlalchemy import Connection, Row, bindparam, delete, select, update

from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import sealed_values
from durable.units import SealedKind, SealedValue

_columns = sealed_values.c


class SealedValueWrites:
    """Writes encrypted values, for units."""

    def __init__(self, sql: SQL) -> None:
        is_value = (_columns.kind == bindparam("of_kind"), _columns.name == bindparam("of_name"))
        is_unchanged = (*is_value, _columns.generation == bindparam("before"))
        names = [column.name for column in _columns if not column.primary_key]
        written: dict[str, Any] = {name: bindparam(name) for name in names}
        sealed: dict[str, Any] = {name: bindparam(name) for name in ("key", "nonce", "data")}
        self._add_sql = sql.compile(sql.insert(sealed_values).on_conflict_do_nothing())
        self._replace_sql = sql.compile(update(sealed_values).where(*is_unchanged).values(written))
        self._reseal_sql = sql.compile(
            update(sealed_values).where(*is_unchanged, _columns.key == bindparam("old_key")).values(sealed)
        )
        self._remove_sql = sql.compile(delete(sealed_values).where(*is_value))
        self._list_sql = sql.compile(select(sealed_values).where(_columns.key != bindparam("current")))

    def put(self, cursor: Cursor, value: SealedValue, before: int) -> bool:
        """Store a value if the stored one has the generation `before`, or, if that is 0, if there is none."""
        row = asdict(value)
        if before:
            cursor.execute(self._replace_sql, row | _name_row(value.kind, value.name) | {"before": before})
        else:
            cursor.execute(self._add_sql, row)
        return cursor.rowcount == 1

    def reseal(self, cursor: Cursor, value: SealedValue, old_key: str) -> bool:
        """Store a value that was encrypted anew, unless it was changed or removed in the meantime."""
        sealed = {"key": value.key, "nonce": value.nonce, "data": value.data}
        known = _name_row(value.kind, value.name) | {"before": value.generation, "old_key": old_key}
        cursor.execute(self._reseal_sql, sealed | known)
        return cursor.rowcount == 1

    def remove(self, cursor: Cursor, kind: SealedKind, name: str) -> bool:
        """Remove a value; False if there is none."""
        cursor.execute(self._remove_sql, _name_row(kind, name))
        return cursor.rowcount == 1

    def list_other_keys(self, cursor: Cursor, key: str) -> list[SealedValue]:
        """Return the values that are encrypted with another key than this one. As a unit, it sees every write that was
        requested before."""
        cursor.execute(self._list_sql, {"current": key})
        return [SealedValue(*row) for row in cursor.fetchall()]


def find_sealed_value(connection: Connection, kind: SealedKind, name: str) -> SealedValue | None:
    query = select(sealed_values).where(_columns.kind == kind, _columns.name == name)
    row = connection.execute(query).first()
    return None if row is None else _decode_row(row)


def list_sealed_values(connection: Connection, kind: SealedKind | None = None) -> list[SealedValue]:
    """Return the values of a kind, or of all kinds, sorted by kind and name."""
    query = select(sealed_values).order_by(_columns.kind, _columns.name)
    rows = connection.execute(query if kind is None else query.where(_columns.kind == kind))
    return [_decode_row(row) for row in rows]


def _name_row(kind: SealedKind, name: str) -> dict[str, object]:
    return {"of_kind": kind, "of_name": name}


def _decode_row(row: Row[tuple[object, ...]]) -> SealedValue:
    return SealedValue(**row._mapping)
