"""The data folder: its lock, and the checks that it can hold a journal."""

import fcntl
import json
import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from durable.journal.errors import DataFolderInUse, DataFolderUnusable

LOCK_NAME = "waypost.lock"

_NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "fuse.ceph",
    "fuse.davfs",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
    "smbfs",
}

_MOUNTS = Path("/proc/self/mounts")
_OCTAL = re.compile(r"\\([0-7]{3})")
"""An escaped space or similar character in that file."""


def prepare_folder(folder: Path) -> None:
    """Create the folder for its owner only, unless it exists. Raises `DataFolderUnusable` on a network file system."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kind = find_file_system(folder)
    if kind in _NETWORK:
        raise DataFolderUnusable(
            f"the data folder {folder} is on a network file system ({kind}), where SQLite's locks and flushes cannot "
            "be relied on; choose a folder on a local disk with --data"
        )


def find_file_system(folder: Path) -> str | None:
    """Return the type of the file system that contains a folder; None if it is unknown."""
    return read_mounts(folder.resolve(), _MOUNTS.read_text(errors="surrogateescape")) if _MOUNTS.exists() else None


def read_mounts(folder: Path, mounts: str) -> str | None:
    """Return the type of the file system that contains an absolute path, given the lines of /proc/self/mounts."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        kinds[Path(_OCTAL.sub(_unescape, point))] = kind  # a later mount hides an earlier one
    return next((kinds[path] for path in (folder, *folder.parents) if path in kinds), None)


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 8))


class FolderLock:
    """The lock of a data folder, held until it is released or the process ends.

    Its file records which process holds it, whether the folder has a journal, and how the previous process ended.
    `before` is what the previous process wrote.
    """

    def __init__(self, file: IO[str], before: Mapping[str, object]) -> None:
        self._file = file
        self.before = before
        self._owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}

    @classmethod
    def take(cls, folder: Path) -> Self:
        """Lock the folder for this process; raises `DataFolderInUse`."""
        file = os.fdopen(os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                raise DataFolderInUse(
                    f"the data folder {folder} is in use by {_describe_owner(_read(file))}; stop that process, or "
                    "give this one a folder of its own with --data"
                ) from None
        return cls(file, _read(file))

    @property
    def had_journal(self) -> bool:
        """Whether a previous process created a journal in the folder."""
        return self.before.get("journal") is True

    @property
    def ended_cleanly(self) -> bool:
        """Whether the previous process closed its journal."""
        return "closed" in self.before

    def hold(self, *, has_journal: bool) -> None:
        """Record the holder of the lock."""
        self._write(self._owner | {"journal": has_journal})

    def release(self, *, is_clean: bool) -> None:
        """Release the folder. `is_clean`: the journal was closed."""
        if is_clean and not self._file.closed:
            self._write(self._owner | {"journal": True, "closed": _now()})
        self._file.close()

    def _write(self, content: Mapping[str, object]) -> None:
        self._file.seek(0)
        self._file.write(json.dumps(content))
        self._file.truncate()
        self._file.flush()


def read_lock(folder: Path) -> Mapping[str, object]:
    """Return what the last process wrote into a folder's lock; empty if there was none."""
    try:
        with (folder / LOCK_NAME).open() as file:
            return _read(file)
    except OSError:
        return {}


def _read(file: IO[str]) -> Mapping[str, object]:
    file.seek(0)
    try:
        content = json.load(file)
    except ValueError:  # it was just created and is still empty
        return {}
    return content if isinstance(content, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _describe_owner(content: Mapping[str, object]) -> str:
    try:
        return f"process {content['pid']} on {content['host']} since {content['since']}"
    except KeyError:
        return "another process"


def ensure_journal_kept(folder: Path, database: Path, *, had_journal: bool) -> None:
    """Raise `DataFolderUnusable` if the folder's lock names a journal that no longer exists."""
    size = database.stat().st_size if database.exists() else None
    if had_journal and not size:
        raise DataFolderUnusable(
            f"{database} is {'missing' if size is None else 'empty'}, but {folder / LOCK_NAME} says that a service "
            f"kept its journal there: restore a backup of the folder; to begin with an empty journal, remove "
            f"{LOCK_NAME} too"
        )


def explain_denied(folder: Path) -> str:
    """Explain why a folder that belongs to another user cannot be used; empty for a folder of this user."""
    try:
        found = (folder if folder.exists() else folder.parent).stat()
    except OSError:
        return ""
    if found.st_uid == os.geteuid() or os.access(folder, os.W_OK | os.X_OK):
        return ""
    return (
        f" (the folder belongs to user {found.st_uid}, and this process is user {os.geteuid()}: `chown -R "
        f"{os.geteuid()} {folder}`, for a Docker volume within a container as root, or run as that user)"
    )


def flush_folder(folder: Path) -> None:
    """Flush the directory, so that the names of new files and of the folder survive a power loss."""
    for place in (folder, folder.resolve().parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
