"""Unknown paths: what requests asked for below `/hooks` that no webhook serves."""

from collections.abc import Sequence

from msgspec.structs import asdict
from sqlalchemy import Connection, delete, select

from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import unknown_paths
from durable.reports import UnknownPath


class UnknownPathWrites:
    """Writes unknown paths, for units."""

    def __init__(self, sql: SQL) -> None:
        self._add_sql = sql.compile(sql.insert(unknown_paths))
        self._clear_sql = sql.compile(delete(unknown_paths))

    def replace(self, cursor: Cursor, paths: Sequence[UnknownPath]) -> None:
        """Store these paths instead of the stored ones."""
        cursor.execute(self._clear_sql, {})
        for path in paths:
            cursor.execute(self._add_sql, asdict(path))


def list_unknown_paths(connection: Connection) -> list[UnknownPath]:
    """Return the stored paths, the one that was asked for last first."""
    rows = connection.execute(select(unknown_paths).order_by(unknown_paths.c.last_at.desc()))
    return [UnknownPath(**row._mapping) for row in rows]
