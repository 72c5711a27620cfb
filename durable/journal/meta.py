"""Metadata of the journal, and the probe that tests whether it can be written."""

import os

from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import meta


class MetaWrites:
    """Writes metadata, for units."""

    def __init__(self, sql: SQL) -> None:
        new = sql.insert(meta)
        self._keep_sql = sql.compile(
            new.on_conflict_do_update(index_elements=["name"], set_={"value": new.excluded.value})
        )

    def probe(self, cursor: Cursor, size: int) -> None:
        """Write a value of `size` bytes over that of the previous probe."""
        cursor.execute(self._keep_sql, {"name": "probe", "value": os.urandom(8).hex().ljust(size, "0")})
