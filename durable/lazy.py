"""Imports by name: the module of a command, an entry point, or a module that needs an optional library.

Every other module imports at its top. A module that needs an extra imports it at its own top as well, and is itself
loaded from here, so that a missing library becomes an error that names the extra and how to install it.

ExtraMissing         an ImportError: an optional library is not installed
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

DISTRIBUTION = "waypost"

OWN_PACKAGES = frozenset({"durable", "connectors", "triggers"})


class ExtraMissing(ImportError):
    """A library that belongs to an extra is not installed; the message is for the person who runs Waypost."""


class EntryPoint(Protocol):
    """The part of `importlib.metadata.EntryPoint` that is used; `load_entry_point` imports its value."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def extras(self) -> list[str]: ...
    @property
    def dist(self) -> Any: ...
    def load(self) -> Any: ...


def load_module(name: str, *, extra: str | None = None) -> ModuleType:
    """Import a module by its full name. `extra` is Waypost's extra that installs the module's dependencies; if one is
    missing, `ExtraMissing` is raised."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        _raise_for_extra(error, name, DISTRIBUTION, extra)
        raise


def ensure_extra(library: str, extra: str) -> None:
    """Raise `ExtraMissing` unless a library of one of Waypost's extras is installed; does not import it."""
    if find_package_folder(library) is None:
        raise _make_extra_missing("it", f"the library {library}", DISTRIBUTION, extra)


def find_entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, sorted by name; imports nothing."""
    # Loaded on the first call: importing it takes 10 ms, which `waypost --help` should not pay for.
    found: Iterable[EntryPoint] = import_module("importlib.metadata").entry_points(group=group)
    return sorted(found, key=lambda entry: (entry.name, entry.value))


def load_entry_point(entry: EntryPoint) -> Any:
    """Import the object that an entry point names. Raises `ExtraMissing` if it declares an extra (`name = module:object
    [extra]`) whose library is missing, and any error of its module."""
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        distribution = entry.dist.name if entry.dist else DISTRIBUTION
        _raise_for_extra(error, entry.name, distribution, next(iter(entry.extras), None))
        raise


def find_package_folder(name: str) -> Path | None:
    """Return the folder of an installed package without importing it; None if there is none."""
    util = import_module("importlib.util")
    try:
        spec = util.find_spec(name)
    except ImportError:
        return None
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None


def load_file(path: Path, data: bytes) -> ModuleType:
    """Execute a Python file as a module of its own; raises whatever it raises."""
    module = ModuleType(f"waypost_connector_{path.stem}")
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # pydantic looks up the names of annotations there
    try:
        exec(compile(data, str(path), "exec"), module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        raise
    return module


def _raise_for_extra(error: ModuleNotFoundError, what: str, distribution: str, extra: str | None) -> None:
    """Raise `ExtraMissing` if an extra installs the missing module. A missing module of our own is a bug."""
    missing = error.name or "a library"
    if extra and missing.partition(".")[0] not in OWN_PACKAGES:
        raise _make_extra_missing(what, missing, distribution, extra) from error


def _make_extra_missing(what: str, missing: str, distribution: str, extra: str) -> ExtraMissing:
    cure = f"install it with `pip install '{distribution}[{extra}]'`"
    return ExtraMissing(f"{what} needs {missing}, which comes with the extra `{extra}`: {cure}")
