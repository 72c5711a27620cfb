"""Facts about the journal itself, and the probe that shows whether it takes writes."""

import os

from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import meta


class MetaWrites:
    """What units write of the journal itself."""

    def __init__(self, sql: SQL) -> None:
        new = sql.insert(meta)
        self._keep_sql = sql.compile(
            new.on_conflict_do_update(index_elements=["name"], set_={"value": new.excluded.value})
        )

    def probe(self, cursor: Cursor, size: int) -> None:
        """Write a new value of `size` bytes over the one of the last probe."""
        cursor.execute(self._keep_sql, {"name": "probe", "value": os.urandom(8).hex().ljust(size, "0")})
