"""What the journal needs of a database: its SQL, its connections, and what its errors mean.

SQLite (`sqlite/`) is the one that there is. A second database supplies a class with the members of `Database` and an
`SQL` with its own dialect and `insert`; the nouns' statements and functions are the same for both.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from sqlalchemy import ClauseElement, Connection, Dialect, Engine, Table
from sqlalchemy.dialects.sqlite import Insert

Answer = TypeVar("Answer")
Params: TypeAlias = dict[str, object]

ErrorKind: TypeAlias = Literal["refused", "full", "busy", "broken"]
"""What an error means: this unit's row is bad; the disk is full; another process holds the database; the database
cannot be relied on any more."""


class Cursor(Protocol):
    """A driver's cursor, on which units are executed."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, parameters: Mapping[str, object], /) -> object: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


Unit: TypeAlias = Callable[[Cursor], Answer]
"""What the writer executes inside its transaction. A unit that raises a `JournalError` must have written nothing: the
other units of its batch are committed, so it is not rolled back."""


class WriteConnection(Protocol):
    """The driver's connection that the writer commits on."""

    @property
    def in_transaction(self) -> bool: ...

    def cursor(self) -> Cursor: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Database(Protocol):
    """What differs between databases."""

    @property
    def begin(self) -> str:
        """The statement that begins a transaction which will write."""

    def sql(self) -> "SQL": ...

    def open(self) -> WriteConnection:
        """Take the database for this process, bring its tables up to date, and return the connection that writes.
        Raises `DataFolderInUse` and `DataFolderUnusable`."""

    def release(self, *, is_clean: bool) -> None:
        """Let the database go; `is_clean` says that everything was committed and the connection closed."""

    @property
    def was_left_open(self) -> bool:
        """Whether the process before this one ended without releasing it as clean."""

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more can be stored."""

    def connect(self) -> WriteConnection:
        """A new connection that writes, in place of one that is of no use any more."""

    def readers(self) -> Engine:
        """An engine whose connections cannot write."""

    def classify_error(self, error: Exception) -> ErrorKind: ...

    def ensure_in_place(self, connection: WriteConnection) -> None:
        """Raise an error that is `broken` unless what was committed is where the next process looks for it."""

    def finish(self, connection: WriteConnection) -> None:
        """Leave the database tidy and close the connection."""

    def check_integrity(self, connection: Connection, *, is_quick: bool = False) -> list[str]:
        """What a check of the whole database finds; a quick one checks less."""

    def interrupt_check(self) -> None:
        """End a check that is under way."""

    def is_undecodable(self, error: BaseException) -> bool:
        """Whether the error of a read means that a text is not in its encoding."""

    def decode_leniently(self, connection: Connection) -> AbstractContextManager[None]:
        """Read such texts all the same."""

    def is_damage(self, error: BaseException) -> bool:
        """Whether the error of a read means that the database is damaged."""


class SQL:
    """Makes the text of statements for a driver; `insert` is the dialect's own, for its ON CONFLICT.

    The nouns compile their statements once: the writer executes the texts on the driver's cursor with named parameters.
    """

    def __init__(self, dialect: Dialect, insert: Callable[[Table], Insert]) -> None:
        self._dialect = dialect
        self.insert = insert

    def compile(self, statement: ClauseElement, *, columns: list[str] | None = None) -> str:
        """The text of a statement; of an insert, with these `columns` only."""
        return str(statement.compile(dialect=self._dialect, column_keys=columns))
