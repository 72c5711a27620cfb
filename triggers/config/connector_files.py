"""The operator's connectors: the files of the folder `connectors/` of the config folder.

A file is read by its form: Python files by the form `python`; YAML files by the form that a top-level key names
(`openapi:`, `mcp:`), otherwise by the form `yaml`. Forms are found by the entry-point group `waypost.forms`. A file
that becomes invalid leaves its last valid version in use.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from durable.action import Connector, Form, LoadedConnector
from durable.blocks.core_actions import CORE_INPUTS
from durable.lazy import ExtraMissing, find_entry_points, load_entry_point
from durable.problem import Problem
from durable.wording import quote
from triggers.config.unread import CONNECTORS, is_connector_file

FORMS = "waypost.forms"
CORE_NAMES = frozenset(use.partition(".")[0] for use in CORE_INPUTS)

MEMORY = "connectors"
"""The folder of the data folder in which forms keep what they learn about services."""

SIZE_LIMIT = 1024 * 1024

Stamp: TypeAlias = tuple[int, int]
_UNKNOWN: Stamp = -1, -1

_COARSE = 20_000_000
"""Nanoseconds by which the clock of a file system may be behind."""

_KEYS = re.compile(rb"^([a-z]\w*)\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ConnectorFile:
    """A file, and the connector that it describes; None if it was never valid.

    `is_refused`: it is invalid, or another file has its name; its last valid version is used.
    `others`: files that it refers to, with the time and size that they had.
    """

    path: Path
    data: bytes
    connector: Connector | None = None
    problems: Sequence[Problem] = ()
    is_refused: bool = False
    others: Mapping[Path, Stamp] | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def is_valid(self) -> bool:
        return self.connector is not None and not self.is_refused

    def line(self, number: int) -> str:
        """A line of its text, counted from 1; empty if there is none."""
        lines = self.data.decode(errors="replace").splitlines()
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def explain(self) -> str:
        """Why it cannot be used, as the end of a sentence; its own problems are reported with it."""
        first = next((each for each in self.problems if each.severity == "error"), None)
        return f"{self.path} has errors" + (f", the first on line {first.line}" if first else "")


class ConnectorFolder:
    """The connector files of a config folder, by name. Without a folder, there are none. `memory` is the folder for
    what forms learn about services."""

    def __init__(self, config: Path | None, memory: Path | None = None) -> None:
        self.path = config / CONNECTORS if config else None
        self.memory = memory
        self.files: Mapping[str, ConnectorFile] = {}
        self._read: Mapping[Path, ConnectorFile] = {}
        self.changed: frozenset[str] = frozenset()
        """The names whose files changed in the last `refresh`."""
        self.refresh()

    @property
    def folders(self) -> list[Path]:
        """The folders in which a change may change a connector."""
        others = {path.parent for file in self.files.values() for path in file.others or ()}
        own = [self.path] if self.path else []
        return [folder for folder in dict.fromkeys([*own, *sorted(others)]) if folder.is_dir()]

    def refresh(self) -> bool:
        """Read the files that changed; returns whether that changed a connector or a problem."""
        before = self.files
        paths = sorted(self.path.glob("*")) if self.path and self.path.is_dir() else []
        self._read = {
            path: _read_file(path, self._read.get(path), self.memory) for path in paths if is_connector_file(path)
        }
        self.files = _choose_by_name(self._read.values())
        names = {*before, *self.files}
        self.changed = frozenset(name for name in names if before.get(name) != self.files.get(name))
        return bool(self.changed)


def load_connector_file(path: Path, memory: Path | None = None) -> LoadedConnector:
    """Load a file by its form. Never raises: whatever is wrong is a problem of the file."""
    try:
        data = _read_bytes(path)
    except OSError as error:
        return _refuse(path, f"the file cannot be read: {error.strerror or error}")
    return _load(path, data, memory)


def find_form(name: str) -> Form:
    """Return a form by its name; raises `LookupError` and `ExtraMissing`."""
    for entry in find_entry_points(FORMS):
        if entry.name == name:
            form: Form = load_entry_point(entry)
            return form
    raise LookupError(f"no form of connectors is named {quote(name)}")


def list_forms() -> list[str]:
    """The names of all forms."""
    return [entry.name for entry in find_entry_points(FORMS)]


def _read_file(path: Path, before: ConnectorFile | None, memory: Path | None) -> ConnectorFile:
    others: Mapping[Path, Stamp] = {}
    try:
        data = _read_bytes(path)
    except OSError as error:
        loaded, data = _refuse(path, f"the file cannot be read: {error.strerror or error}"), b""
    else:
        if before and before.data == data and _stamp(before.others or ()) == (before.others or {}):
            return before
        began = time.time_ns() - _COARSE
        loaded = _load(path, data, memory)
        # A file that was written meanwhile is read again: perhaps only its beginning was read.
        others = {
            path: stamp if stamp[0] < began else _UNKNOWN for path, stamp in _stamp(map(Path, loaded.files)).items()
        }
    problems = tuple(loaded.problems)
    now = ConnectorFile(path, data, loaded.connector, problems, others=others)
    if loaded.connector or before is None or before.connector is None:
        return now
    return replace(now, connector=before.connector, is_refused=True)


def _read_bytes(path: Path) -> bytes:
    """Return the content of a file; raises `OSError`."""
    if not path.is_file():  # a pipe would be waited for
        raise OSError("it is not a file")
    with path.open("rb") as file:
        data = file.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise OSError(f"it is larger than {SIZE_LIMIT // 1024} KiB")
    return data


def _load(path: Path, data: bytes, memory: Path | None) -> LoadedConnector:
    try:
        kept = str(memory) if memory else None
        loaded = find_form(_choose_form(path, data)).load(str(path), data, kept)
    except (LookupError, ExtraMissing) as error:
        return _refuse(path, str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # a file of the operator may raise anything
        return _refuse(path, f"{type(error).__name__}: {error}")
    if loaded.connector and path.stem in CORE_NAMES:
        what = f"Waypost itself has actions named {path.stem!r}"
        return replace(_refuse(path, what, "rename the file"), files=loaded.files)
    if loaded.connector and loaded.connector.name != path.stem:
        what = f"the connector is named {quote(loaded.connector.name)}, and its file {quote(path.stem)}"
        return replace(_refuse(path, what, "rename one of them"), files=loaded.files)
    return loaded


def _choose_form(path: Path, data: bytes) -> str:
    if path.suffix == ".py":
        return "python"
    keys = {key.decode() for key in _KEYS.findall(data)}
    return next((name for name in list_forms() if name in keys), "yaml")


def _refuse(path: Path, what: str, hint: str | None = None) -> LoadedConnector:
    return LoadedConnector(None, (Problem(str(path), 1, 1, what, hint),))


def _choose_by_name(files: Iterable[ConnectorFile]) -> dict[str, ConnectorFile]:
    """Return the files by name. Of those that differ in their suffix only, the first is used, and has a problem."""
    chosen: dict[str, ConnectorFile] = {}
    for file in files:
        first = chosen.setdefault(file.name, file)
        if first is not file:
            problem = Problem(str(file.path), 1, 1, f"{first.path.name} is the same connector", "remove one of them")
            chosen[file.name] = replace(first, problems=(*first.problems, problem), is_refused=True)
    return chosen


def _stamp(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """Return the modification time and the size of files; zeros for those that do not exist."""
    found: dict[Path, Stamp] = {}
    for path in paths:
        try:
            stat = path.stat()
        except (OSError, ValueError):  # the name may contain a null character
            found[path] = (0, 0)
        else:
            found[path] = (stat.st_mtime_ns, stat.st_size)
    return found
