"""Definitions: each version of a pipeline, stored completely, because a run keeps the version that it started with."""

from sqlalchemy import Connection, select

from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import definitions


class DefinitionWrites:
    """Writes definitions, for units."""

    def __init__(self, sql: SQL) -> None:
        self._add_sql = sql.compile(sql.insert(definitions).on_conflict_do_nothing())

    def add(self, cursor: Cursor, version: str, pipeline: str, data: bytes, at: int) -> None:
        """Store a version, unless it is already stored."""
        cursor.execute(self._add_sql, {"version": version, "pipeline": pipeline, "data": data, "created_at": at})


def load_definition(connection: Connection, version: str) -> bytes | None:
    data = connection.scalar(select(definitions.c.data).where(definitions.c.version == version))
    return None if data is None else bytes(data)
