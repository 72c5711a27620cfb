"""Metadata of the journal, and the probe that tests whether it can be written."""

import os

from sqlalchemy import Connection, select

from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import meta


class MetaWrites:
    """Writes metadata, for units."""

    def __init__(self, sql: SQL) -> None:
        new = sql.insert(meta)
        self._keep_sql = sql.compile(
            new.on_conflict_do_update(index_elements=["name"], set_={"value": new.excluded.value})
        )

    def keep(self, cursor: Cursor, name: str, value: str) -> None:
        """Store a value over the previous one of that name."""
        cursor.execute(self._keep_sql, {"name": name, "value": value})

    def probe(self, cursor: Cursor, size: int) -> None:
        """Write a value of `size` bytes over that of the previous probe."""
        self.keep(cursor, "probe", os.urandom(8).hex().ljust(size, "0"))


def find_note(connection: Connection, name: str) -> str | None:
    """Return the metadata that are stored under a name."""
    return connection.scalar(select(meta.c.value).where(meta.c.name == name))
