"""The interface of the journal's database: its SQL, its connections, and the meaning of its errors.

SQLite (`sqlite/`) is the only implementation. Another database supplies a class with the members of `Database`, and an
`SQL` with its own dialect and `insert`; the statements and functions of the nouns are shared.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from sqlalchemy import ClauseElement, Connection, Dialect, Engine, Table
from sqlalchemy.dialects.sqlite import Insert

from durable.reports import Space

Answer = TypeVar("Answer")
Params: TypeAlias = dict[str, object]

ErrorKind: TypeAlias = Literal["refused", "full", "busy", "broken"]
"""The meaning of an error. `refused`: a row of this unit is invalid; `full`: the disk is full; `busy`: another process
holds the database; `broken`: the database can no longer be trusted."""


class Cursor(Protocol):
    """A driver's cursor, on which units are executed."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, parameters: Mapping[str, object], /) -> object: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


Unit: TypeAlias = Callable[[Cursor], Answer]
"""A function that the writer calls inside its transaction. If it raises a `JournalError`, it must not have written
anything: it is not rolled back, because the other units of its batch are committed."""


class WriteConnection(Protocol):
    """The driver's connection on which the writer commits."""

    @property
    def in_transaction(self) -> bool: ...

    def cursor(self) -> Cursor: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Database(Protocol):
    """The operations that differ between databases."""

    @property
    def begin(self) -> str:
        """The statement that begins a write transaction."""

    def sql(self) -> "SQL": ...

    def open(self) -> WriteConnection:
        """Lock the database for this process, upgrade its tables, and return the connection that writes. Raises
        `DataFolderInUse` and `DataFolderUnusable`."""

    def release(self, *, is_clean: bool) -> None:
        """Release the database. `is_clean`: everything was committed and the connection was closed."""

    @property
    def was_left_open(self) -> bool:
        """Whether the previous process ended without a clean release."""

    def has_room(self, size: int) -> bool:
        """Whether this many more bytes can be stored."""

    def connect(self) -> WriteConnection:
        """Return a new connection that writes, to replace one that no longer works."""

    def readers(self) -> Engine:
        """An engine whose connections cannot write."""

    def classify_error(self, error: Exception) -> ErrorKind: ...

    def ensure_in_place(self, connection: WriteConnection) -> None:
        """Raise a `broken` error unless the committed data are where the next process will look for them."""

    def finish(self, connection: WriteConnection) -> None:
        """Clean up the database and close the connection."""

    def measure_space(self, connection: Connection) -> Space:
        """Measure the database's files."""

    def shrink(self, cursor: Cursor, pages: int) -> int:
        """Give up to this many free pages back to the file system; returns their number. For a unit."""

    def check_integrity(self, connection: Connection, *, is_quick: bool = False) -> list[str]:
        """Check the whole database and return the problems; a quick check covers less."""

    def interrupt_check(self) -> None:
        """Interrupt a running check."""

    def is_undecodable(self, error: BaseException) -> bool:
        """Whether the error of a read means that a text is not in its encoding."""

    def decode_leniently(self, connection: Connection) -> AbstractContextManager[None]:
        """Read such texts nevertheless."""

    def is_damage(self, error: BaseException) -> bool:
        """Whether the error of a read means that the database is damaged."""


class SQL:
    """Compiles statements to text for a driver. `insert` is the dialect's own, because ON CONFLICT differs.

    The nouns compile their statements once; the writer executes the texts on the driver's cursor, with named
    parameters.
    """

    def __init__(self, dialect: Dialect, insert: Callable[[Table], Insert]) -> None:
        self._dialect = dialect
        self.insert = insert

    def compile(self, statement: ClauseElement, *, columns: list[str] | None = None) -> str:
        """Return the text of a statement; for an insert, of these `columns` only."""
        return str(statement.compile(dialect=self._dialect, column_keys=columns))
