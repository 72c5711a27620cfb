"""Reads the commits in a WAL file without SQLite.

SQLite recovers a WAL up to the first damaged frame, and drops the commits after it without an error. The format:
https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import os
import struct
from pathlib import Path

_HEADER = struct.Struct(">8I")
"""Magic, version, page size, checkpoint sequence, two salts, two checksums."""

_FRAME = struct.Struct(">6I")
"""Page number, database size in pages after a commit (0 within a transaction), two salts, two checksums."""


def find_commits(wal: Path) -> list[int]:
    """Return the numbers, from 1, of the frames that end a transaction. Their checksums are not verified.

    Frames of earlier transactions, which were checkpointed and will be overwritten, have other salts and are ignored.
    If the header is damaged, its salts are unknown, and every frame counts.
    """
    with wal.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return []
        _, _, page_size, _, *salts, first, second = _HEADER.unpack(head)
        is_sound = (first, second) == _checksum(head[:24])
        size = _FRAME.size + (page_size if is_sound else _guess_page_size(wal))
        count = (os.fstat(file.fileno()).st_size - _HEADER.size) // size
        commits = []
        for number in range(count):
            file.seek(_HEADER.size + number * size)
            _, pages, *frame_salts, _, _ = _FRAME.unpack(file.read(_FRAME.size))
            if pages and (frame_salts == salts or not is_sound):
                commits.append(number + 1)
        return commits


def _checksum(head: bytes) -> tuple[int, int]:
    order = ">" if head[3] & 1 else "<"  # of the summed words: the last bit of the magic number
    words = struct.unpack(f"{order}6I", head)
    first = second = 0
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second


def _guess_page_size(wal: Path) -> int:
    """Return the page size from the header of the database, or SQLite's default if the database has none."""
    with Path(str(wal).removesuffix("-wal")).open("rb") as database:
        (size,) = struct.unpack(">H", database.read(18)[16:].rjust(2, b"\0"))
    return 65536 if size == 1 else size or 4096
