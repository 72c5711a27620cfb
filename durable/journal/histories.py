"""Histories: the entries of runs. Each append is one row, with its entries as a JSON array."""

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, func, select, type_coerce
from sqlalchemy.types import NullType

from durable.history.encoding import decode_entries
from durable.history.entries import AnyEntry
from durable.history.state import State
from durable.journal.dialect import SQL, Cursor
from durable.journal.errors import RunUnreadable
from durable.journal.payloads import DECODING_ERRORS
from durable.journal.tables import entries
from durable.replay import apply_entry

PAGE = 256
"""The number of appends that are read and decoded at once, in about a millisecond."""

LAST = 2**62
"""A sequence number that no entry reaches."""

_STORED = type_coerce(entries.c.entries, NullType()).label("entries")  # undecoded
_OF_RUN = entries.c.run == bindparam("run")

# Built once, because every takeover uses it, and building it takes longer than executing it.
_NEXT_PAGE = (
    select(entries.c.sequence, _STORED)
    .where(_OF_RUN, entries.c.sequence > bindparam("after"), entries.c.sequence <= bindparam("until"))
    .order_by(entries.c.sequence)
    .limit(bindparam("appends"))
)


class Append(Protocol):
    """A row: the number of the first entry of an append, and its entries."""

    @property
    def sequence(self) -> int: ...

    @property
    def entries(self) -> bytes: ...


class HistoryWrites:
    """Reads and writes histories, for units."""

    def __init__(self, sql: SQL) -> None:
        self.add_sql = sql.compile(sql.insert(entries))
        last = select(func.max(entries.c.sequence)).where(_OF_RUN).scalar_subquery()
        self._find_last_sql = sql.compile(
            select(entries.c.sequence, entries.c.entries).where(_OF_RUN, entries.c.sequence == last)
        )

    def find_last_append(self, cursor: Cursor, run: str) -> Any:
        """Return the number of the first entry of a run's last append, and its entries as bytes; None without a
        history."""
        cursor.execute(self._find_last_sql, {"run": run})
        return cursor.fetchone()


# -- reads


def list_appends(connection: Connection, run: str, after: int, until: int = LAST, limit: int = PAGE) -> list[Append]:
    """Return a run's appends that begin after entry number `after`, up to `until`, oldest first."""
    page: Any = connection.execute(_NEXT_PAGE, {"run": run, "after": after, "until": until, "appends": limit}).all()
    found: list[Append] = page
    return found


def list_appends_of(connection: Connection, runs: list[str]) -> dict[str, list[Append]]:
    """Return all appends of several runs with short histories, in one read."""
    query = select(entries.c.run, entries.c.sequence, _STORED).where(entries.c.run.in_(runs))
    found: dict[str, list[Append]] = {}
    for row in connection.execute(query.order_by(entries.c.run, entries.c.sequence)).all():
        append: Any = row
        found.setdefault(row.run, []).append(append)
    return found


def find_append_before(connection: Connection, run: str, after: int) -> int:
    """Return the number of the first entry of the append that contains entry `after` + 1."""
    query = select(func.max(entries.c.sequence)).where(entries.c.run == run, entries.c.sequence <= after + 1)
    return connection.scalar(query) or 1


def read_page(
    connection: Connection, run: str, after: int, expected: int, until: int
) -> list[tuple[int, list[AnyEntry]]]:
    """Return a page of a run's appends, each with the number of its first entry; that of the first is `expected`.
    Raises `RunUnreadable`."""
    page: list[tuple[int, list[AnyEntry]]] = []
    for row in list_appends(connection, run, after, until):
        page.append((row.sequence, decode_append(run, row, expected)))
        expected += len(page[-1][1])
    return page


def decode_append(run: str, row: Append, expected: int) -> list[AnyEntry]:
    """Decode the entries of an append, whose first entry has the number `expected`; raises `RunUnreadable`."""
    if row.sequence != expected:
        raise RunUnreadable(run, f"entry {expected} of its history is missing")
    try:
        return decode_entries(row.entries)
    except DECODING_ERRORS as error:
        raise RunUnreadable(run, f"entry {expected} of its history cannot be read: {_explain(error)}") from error


def ensure_whole(run: str, entries: int, sequence: int) -> None:
    """Raise `RunUnreadable` if a history has fewer entries than the `sequence` of the run's row."""
    if entries < sequence:
        raise RunUnreadable(run, f"entry {entries + 1} of its history is missing")


def fold_entry(state: State, entry: AnyEntry) -> None:
    """Apply one entry to the state, in place; raises `RunUnreadable` if it cannot follow the previous entries."""
    try:
        apply_entry(state, entry)
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        what = f"entry {state.entries} of its history does not follow from those before it ({error!r})"
        raise RunUnreadable(state.run, what) from error


def _explain(error: Exception) -> str:
    if "Invalid value" in str(error) and ".type`" in str(error):
        return "this version of Waypost does not know its kind: a newer version wrote it, or it is damaged"
    return f"it is damaged ({error})"


def load_first_appends(connection: Connection, runs: Sequence[str]) -> dict[str, bytes]:
    """Return the first append of each of these runs, undecoded."""
    query = select(entries.c.run, _STORED).where(entries.c.run.in_(runs), entries.c.sequence == 1)
    return {row.run: row.entries for row in connection.execute(query)}
