"""The files of the journal: readable only by their owner, and checked to be the files that were opened.

SQLite continues to write to a file that was removed or replaced: its commits succeed, and are lost when the process
ends.
"""

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from durable.journal.errors import FilesReplaced

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""

FILE_NAME = "journal.sqlite"
"""The database's file in a data folder."""

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""The mode bits that grant access to users other than the owner."""

_WAL_STARTS = (b"", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""The valid first four bytes of a WAL: it is empty, or begins with one of SQLite's two magic numbers."""


def make_private(paths: Iterable[Path]) -> None:
    """Remove the permissions of users other than the owner from existing files, as far as this process may."""
    for path in paths:
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OTHERS:
                path.chmod(mode & ~OTHERS)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, unless it exists. SQLite gives its other files the same
    mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


class OpenFiles:
    """The files of an open database, as they were when it was opened. `others` must remain in place too."""

    def __init__(self, database: Path, others: Iterable[Path]) -> None:
        self._database = str(database)
        self._file = os.path.realpath(database)  # if it is a link, the WAL and its index are next to its target
        self._wal = f"{self._file}-wal"
        names = (self._database, self._file, self._wal, f"{self._file}-shm", *map(os.path.realpath, others))
        self._identities = {name: identity for name in names if (identity := _identity(name))}
        # Only the WAL may be opened outside of SQLite: closing the database file would release SQLite's locks on it.
        self._wal_file = os.open(self._wal, os.O_RDONLY) if self._wal in self._identities else None

    def close(self) -> None:
        if self._wal_file is not None:
            os.close(self._wal_file)
            self._wal_file = None

    def ensure_in_place(self) -> None:
        """Raise `FilesReplaced` unless every file is still the one that was opened. Takes about 10 µs."""
        size = 0
        for name, identity in self._identities.items():  # inlined, because every commit does this
            try:
                found = os.lstat(name)  # not `stat`: a link in place of the database would have another WAL
            except OSError:
                raise FilesReplaced(name, "removed", self._cure()) from None
            if (found.st_dev, found.st_ino) != identity:
                raise FilesReplaced(name, "replaced", self._cure())
            if name == self._file:
                size = found.st_size
        if not size:
            raise FilesReplaced(self._database, "emptied", self._cure())
        if self._wal_file is not None and os.pread(self._wal_file, 4, 0) not in _WAL_STARTS:
            raise FilesReplaced(self._wal, "overwritten", self._cure())

    def _is_wal_overwritten(self) -> bool:
        return self._wal_file is not None and os.pread(self._wal_file, 4, 0) not in _WAL_STARTS

    def discard_overwritten_wal(self) -> None:
        """Empty a WAL that was overwritten. SQLite would copy its content into the database, at the latest when it
        closes the database, because the WAL's index still lists committed pages."""
        if self._is_wal_overwritten():
            os.truncate(self._wal, 0)

    def _cure(self) -> str:
        if self._is_wal_overwritten():
            return (
                f"what was accepted since SQLite last moved it into {self._database} is gone: restore a backup, or "
                "start the service again with what is left"
            )
        if self.holds_database():
            return f"{self._database} holds what was accepted before: start the service again"
        return f"put {self._database} back, or restore a backup, before you start the service again"

    def holds_database(self) -> bool:
        """Whether the database file is still in place, so that the WAL can be checkpointed into it."""
        try:
            found = os.stat(self._database)  # follows a link, as the next start does
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identities.get(self._file) and found.st_size > 0


def _identity(name: str) -> Identity | None:
    try:
        found = os.lstat(name)
    except OSError:
        return None
    return found.st_dev, found.st_ino
