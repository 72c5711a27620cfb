"""SQLite as the journal's database: opens its file and classifies its errors.

The database is in WAL mode with `synchronous=FULL`. One connection writes; readers' connections are read-only.
Transactions are begun explicitly, because the driver's implicit transactions lose updates.
"""

import contextlib
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    Integer,
    LargeBinary,
    NullPool,
    QueuePool,
    String,
    create_engine,
    event,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError

from durable.journal.dialect import SQL, Cursor, ErrorKind, WriteConnection
from durable.journal.errors import DataFolderUnusable, FilesReplaced
from durable.journal.migrate import ensure_not_newer, migrate
from durable.journal.sqlite.files import FILE_NAME, OpenFiles, create_private, make_private
from durable.journal.sqlite.folder import (
    LOCK_NAME,
    FolderLock,
    ensure_journal_kept,
    explain_denied,
    flush_folder,
    prepare_folder,
)
from durable.journal.sqlite.wal import find_commits
from durable.reports import Space

log = logging.getLogger("waypost.journal")

_PRAGMAS = (
    "auto_vacuum=INCREMENTAL",  # has no effect after the first table was created
    "journal_mode=WAL",
    "synchronous=FULL",  # NORMAL can lose committed units on power loss
    "fullfsync=ON",  # on macOS, makes fsync reach the disk; no effect elsewhere
    "checkpoint_fullfsync=ON",
    "temp_store=MEMORY",
    "cache_size=-16000",
    "journal_size_limit=67108864",  # truncate a long WAL after a checkpoint
)

_BUSY_SECONDS = 5.0

_BROKEN = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
}


class SQLite:
    """The journal's database in a data folder."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute() / FILE_NAME
        self._open_files: OpenFiles | None = None
        self._lock: FolderLock | None = None
        self._checking: Any = None

    @property
    def wal(self) -> Path:
        return Path(f"{os.path.realpath(self.path)}-wal")

    @property
    def damaged_wal(self) -> Path:
        return Path(f"{self.wal}.damaged")

    @property
    def files(self) -> tuple[Path, ...]:
        """The database's files, whether or not they exist."""
        file = os.path.realpath(self.path)
        return (self.path, *(Path(f"{file}{ending}") for ending in ("-wal", "-shm", "-journal")))

    def sql(self) -> SQL:
        return SQL(sqlite.dialect(paramstyle="named"), sqlite.insert)

    def open(self) -> sqlite3.Connection:
        """Lock the data folder, upgrade its journal and return the connection that writes.

        Raises `DataFolderInUse` and `DataFolderUnusable`.
        """
        folder = self.path.parent
        try:
            prepare_folder(folder)
            self._lock = lock = FolderLock.take(folder)
            try:
                ensure_journal_kept(folder, self.path, had_journal=lock.had_journal)
                if lock.had_journal and not lock.ended_cleanly:
                    self._recover_wal()
                self._ensure_not_newer()  # after that, because a reader creates a missing WAL
                lock.hold(has_journal=lock.had_journal)
                make_private((*self.files, folder / LOCK_NAME))
                if migrate(self.migrations()):
                    flush_folder(folder)
                connection = self.connect()
                lock.hold(has_journal=True)
                return connection
            except BaseException:
                lock.release(is_clean=False)
                raise
        except (OSError, sqlite3.Error, SQLAlchemyError) as error:
            reason = getattr(error, "orig", error)  # the driver's message, without the statement
            raise DataFolderUnusable(
                f"the data folder {folder} cannot be used: {reason}{explain_denied(folder)}; correct that, or choose "
                "another folder with --data"
            ) from error

    def release(self, *, is_clean: bool) -> None:
        """Release the data folder. `is_clean`: the journal was closed."""
        if self._lock:
            self._lock.release(is_clean=is_clean)

    @property
    def was_left_open(self) -> bool:
        """Whether the previous process ended without closing the journal."""
        return self._lock is not None and bool(self._lock.before) and not self._lock.ended_cleanly

    def has_room(self, size: int) -> bool:
        """Whether the disk has room for this many bytes."""
        return shutil.disk_usage(self.path.parent).free >= size

    def connect(self) -> sqlite3.Connection:
        """Return a connection that writes; creates the file if it does not exist."""
        create_private(self.path)
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN IMMEDIATE")  # creates the WAL and its index
        connection.execute("COMMIT")
        if self._open_files:
            self._open_files.close()
        self._open_files = OpenFiles(self.path, (self.path.with_name(LOCK_NAME), self.path.parent))
        return connection

    def _ensure_not_newer(self) -> None:
        """Refuse the journal of a newer program before a writable connection changes any byte of it."""
        if self.path.exists() and self.path.stat().st_size:
            readers = self.readers()
            with readers.connect() as connection:
                ensure_not_newer(connection)
            readers.dispose()

    def _recover_wal(self) -> None:
        """Recover the WAL of a process that did not close the journal, and warn about lost commits."""
        if not self.wal.exists():
            log.warning(
                "%s is missing, although the previous process did not close the journal: the last events that it "
                "accepted may be gone",
                self.wal,
            )
        elif lost := self.recover():
            log.error(
                "%s is damaged: its last %d commits cannot be read, and events that were accepted in them may be gone; "
                "a copy of it is in %s",
                self.wal,
                lost,
                self.damaged_wal,
            )

    def recover(self) -> int:
        """Let SQLite recover the WAL of a process that did not close it; returns the number of lost commits. If there
        are any, a copy of the WAL is kept as `damaged_wal`, because SQLite is about to remove it."""
        commits = find_commits(self.wal)
        with contextlib.closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as connection:
            _, recovered, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            lost: int = sum(number > recovered >= 0 for number in commits)  # -1: unknown to SQLite
            if lost:
                shutil.copyfile(self.wal, self.damaged_wal)
                make_private([self.damaged_wal])
        return lost

    def ensure_in_place(self, connection: WriteConnection) -> None:
        """Raise `FilesReplaced` unless the files are those that were opened. If the database file itself is in place,
        the WAL is first checkpointed into it, so that no committed data are lost."""
        if self._open_files is None:
            return
        try:
            self._open_files.ensure_in_place()
        except FilesReplaced:
            self._open_files.discard_overwritten_wal()
            if self._open_files.holds_database():
                with contextlib.suppress(sqlite3.Error):
                    connection.cursor().execute("PRAGMA wal_checkpoint(FULL)", {})
            raise

    def migrations(self) -> Engine:
        """An engine whose transactions take the write lock at their start."""
        engine = create_engine("sqlite://", creator=self.connect, poolclass=NullPool)
        event.listen(engine, "begin", _begin_immediate)
        return engine

    def readers(self) -> Engine:
        """A read-only engine, which does not create the file."""
        engine = create_engine(
            "sqlite://", creator=self._reader, poolclass=QueuePool, pool_size=8, isolation_level="AUTOCOMMIT"
        )
        engine.dialect.colspecs = {**engine.dialect.colspecs, **_READABLE}
        return engine

    def classify_error(self, error: Exception) -> ErrorKind:
        if isinstance(error, FilesReplaced):
            return "broken"
        code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_OK
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):  # the latter: no room for the WAL's index
            return "full"
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return "busy"
        return "broken" if code & 0xFF in _BROKEN else "refused"

    def is_undecodable(self, error: BaseException) -> bool:
        """Whether a text of a row is not UTF-8; only damage or another program can cause that."""
        return str(error).startswith("Could not decode to UTF-8")

    @contextlib.contextmanager
    def decode_leniently(self, connection: Connection) -> Iterator[None]:
        """Read texts that are not UTF-8, with a replacement character for each invalid byte."""
        driver: Any = connection.connection.driver_connection
        driver.text_factory = partial(str, encoding="utf-8", errors="replace")
        try:
            yield
        finally:
            driver.text_factory = str

    def is_damage(self, error: BaseException) -> bool:
        """Whether an error of a read means that the file itself is damaged."""
        code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_OK
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)

    def finish(self, connection: WriteConnection) -> None:
        with contextlib.suppress(sqlite3.Error):  # what is not moved now stays in the WAL, as durable as before
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)", {})
        connection.close()
        if self._open_files:
            self._open_files.close()

    def measure_space(self, connection: Connection) -> Space:
        """Measure the database file and its WAL."""
        pragmas = ("page_size", "page_count", "freelist_count")
        page, pages, free = (int(connection.exec_driver_sql(f"PRAGMA {each}").scalar_one()) for each in pragmas)
        log_bytes = self.wal.stat().st_size if self.wal.exists() else 0
        return Space(database=page * pages, free=page * free, log=log_bytes, page=page)

    def shrink(self, cursor: Cursor, pages: int) -> int:
        """Move the last pages of the file to free ones, and cut it off. Its end moves at the next checkpoint."""
        before = _count_free(cursor)
        for _ in range(min(pages, before)):
            # The driver steps this statement once, which moves a single page, whatever its number says.
            cursor.execute("PRAGMA incremental_vacuum(1)", {})
        return before - _count_free(cursor)

    def check_integrity(self, connection: Connection, *, is_quick: bool = False) -> list[str]:
        """Check the whole file and return the problems. A quick check does not compare indexes with their tables."""
        check = "quick_check" if is_quick else "integrity_check"
        self._checking = connection.connection.driver_connection
        try:
            found = connection.exec_driver_sql(f"PRAGMA {check}").scalars().all()
        finally:
            self._checking = None
        return [str(problem) for problem in found if problem != "ok"]

    def interrupt_check(self) -> None:
        if checking := self._checking:
            checking.interrupt()

    def _reader(self) -> sqlite3.Connection:
        # The last writable connection removes the WAL when it closes. A command that reads the journal of a killed
        # service must not do that: the next start would report the missing WAL as a loss.
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS, check_same_thread=False
        )
        connection.execute("PRAGMA query_only=ON")
        return connection


# SQLite stores values of any type in any column. A value whose type is not that of its column, which only damage or
# another program can cause, is read as the nearest value of that type: one such row must not hide the rest of a list.


class _ReadableText(String):
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str | None]:
        return _to_text


class _ReadableNumber(Integer):
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], int | None]:
        return _to_number


class _ReadableBytes(LargeBinary):
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], bytes | None]:
        return _to_bytes


_READABLE: dict[type[Any], type[Any]] = {
    String: _ReadableText,
    Integer: _ReadableNumber,
    LargeBinary: _ReadableBytes,
}


def _to_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _to_number(value: Any) -> int | None:
    return value if value is None or isinstance(value, int) else 0


def _to_bytes(value: Any) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _count_free(cursor: Cursor) -> int:
    cursor.execute("PRAGMA freelist_count", {})
    return int(cursor.fetchone()[0])


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
