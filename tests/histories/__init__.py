"""Recorded histories of real runs, which must remain replayable forever.

Each file is the output of `waypost history RUN --export` with the `status` of the run, one entry a line. A run
that went wrong becomes a file here. `python -m tests.histories.record` records the missing ones.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from durable.definition import Definition
from durable.history.entries import AnyEntry, RunStarted
from durable.history.words import RunStatus

FOLDER = Path(__file__).parent


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A run's history; its `definition` is in the resolved form."""

    run: str
    definition: msgspec.Raw
    entries: list[AnyEntry]

    def compiled(self) -> Definition:
        return Definition.load(bytes(self.definition))

    @property
    def started(self) -> RunStarted:
        first = self.entries[0]
        assert isinstance(first, RunStarted)
        return first


class Recorded(Exported, frozen=True, kw_only=True):
    """A history with the status that its run had when it was recorded."""

    status: RunStatus


class _Lines(msgspec.Struct):
    run: str
    definition: msgspec.Raw
    entries: list[msgspec.Raw]


def read(name: str) -> Recorded:
    """Read the history with this name."""
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Recorded)


def names() -> list[str]:
    """The names of all histories."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def is_there(name: str) -> bool:
    return (FOLDER / f"{name}.json").exists()


def write(name: str, status: str, exported: bytes) -> None:
    """Store an export under a name. The bytes of every value stay unchanged."""
    (FOLDER / f"{name}.json").write_bytes(b"\n".join(_laid_out(status, exported)) + b"\n")


def _laid_out(status: str, exported: bytes) -> Iterator[bytes]:
    document = msgspec.json.decode(exported, type=_Lines)
    yield b'{"status": %s,' % msgspec.json.encode(status)
    yield b' "run": %s,' % msgspec.json.encode(document.run)
    yield b' "definition": %s,' % bytes(document.definition)
    yield b' "entries": ['
    yield b",\n".join(b"  " + bytes(entry) for entry in document.entries)
    yield b" ]}"
