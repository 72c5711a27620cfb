"""The data folder: who works on it, and whether its file system can be trusted with a journal."""

import fcntl
import json
import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from durable.journal.units import DataFolderInUse, DataFolderUnfit

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
"""How a space and the like are written there."""


def prepare(folder: Path) -> None:
    """Make the folder if there is none, for its owner only; refuse a network file system with `DataFolderUnfit`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kind = file_system(folder.resolve(), _MOUNTS.read_text(errors="surrogateescape")) if _MOUNTS.exists() else None
    if kind in _NETWORK:
        raise DataFolderUnfit(
            f"the data folder {folder} is on a network file system ({kind}), where SQLite's locks and flushes cannot "
            "be relied on; choose a folder on a local disk with --data"
        )


def file_system(folder: Path, mounts: str) -> str | None:
    """The kind of the file system that holds an absolute path, by the lines of /proc/self/mounts."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        kinds[Path(_OCTAL.sub(_character, point))] = kind  # a later mount hides an earlier one
    return next((kinds[path] for path in (folder, *folder.parents) if path in kinds), None)


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 8))


def lock(folder: Path) -> IO[str]:
    """Take the folder for this process, until the answer is closed or the process ends; raises `DataFolderInUse`."""
    holder = (folder / LOCK_NAME).open("a+")
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with holder:
            raise DataFolderInUse(
                f"the data folder {folder} is in use by {_owner(holder)}; stop that process, or give this one a "
                "folder of its own with --data"
            ) from None
    holder.truncate(0)
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    json.dump(owner, holder)
    holder.flush()
    return holder


def _owner(holder: IO[str]) -> str:
    holder.seek(0)
    try:
        owner = json.load(holder)
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError):  # it has only just taken the lock
        return "another process"


def flush(folder: Path) -> None:
    """Make the names of new files, and of the folder itself, survive a power loss."""
    for place in (folder, folder.resolve().parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
