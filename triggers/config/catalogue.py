"""The connectors of an instance, by name: those of installed packages and those of the folder `connectors/`.

Installed connectors are found by entry points: the group `waypost.connectors` names a `Connector` each, and the group
`waypost.connector_folders` names packages, every connector file of which is a connector. They are loaded when they are
first used, and listed without being loaded. A file of the operator's folder takes the place of an installed connector
of the same name.

    ConnectorRefused        something that cannot be used as a connector

A connector that cannot be loaded disables only the pipelines that use it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ValidationError

from durable.action import Action, Connector
from durable.connection_auth import add_auth_field
from durable.lazy import (
    DISTRIBUTION,
    EntryPoint,
    ExtraMissing,
    find_entry_points,
    find_package_folder,
    load_entry_point,
)
from durable.limit import NO_LIMIT, Limit
from triggers.config.connector_files import CORE_NAMES, MEMORY, ConnectorFolder, load_connector_file
from triggers.config.unread import is_connector_file
from triggers.not_found import NoConnectors

GROUP = "waypost.connectors"
FOLDERS = "waypost.connector_folders"


class ConnectorRefused(Exception):
    """Something that cannot be used as a connector; the message says why."""


@dataclass(frozen=True, slots=True)
class ConnectorOrigin:
    """Where an installed connector comes from: an entry point that names it, or one that names the package whose
    `file` describes it."""

    entry: EntryPoint
    file: Path | None = None

    @property
    def package(self) -> str:
        """The package that installs it, with its version."""
        return f"{self.entry.dist.name} {self.entry.dist.version}"

    def load(self) -> Connector:
        """Load it; raises `ConnectorRefused` and whatever its module raises."""
        if self.file is None:
            found = load_entry_point(self.entry)
            if not isinstance(found, Connector):
                raise ConnectorRefused(f"{self.entry.value} is not a durable.action.Connector")
            return found
        loaded = load_connector_file(self.file)
        if loaded.connector is None:
            raise ConnectorRefused("; ".join(map(str, loaded.problems)))
        return loaded.connector


@dataclass(frozen=True, slots=True)
class InstalledConnector:
    """A connector that is installed and not loaded yet. With several `origins` its name is not unique."""

    name: str
    origins: tuple[ConnectorOrigin, ...]

    @property
    def packages(self) -> list[str]:
        """The packages that install it, with their versions."""
        return sorted(origin.package for origin in self.origins)

    def ensure_unique(self) -> None:
        """Raise `ConnectorRefused` where other actions have its name."""
        if self.name in CORE_NAMES:
            raise ConnectorRefused(f"Waypost itself has actions named {self.name!r}")
        if len(self.origins) > 1:
            raise ConnectorRefused(f"several packages have a connector of this name: {', '.join(self.packages)}")

    def load(self) -> Connector:
        """Load it; raises `ConnectorRefused` and whatever its module raises."""
        self.ensure_unique()
        [origin] = self.origins
        connector = origin.load()
        if connector.name != self.name:
            where = origin.file or origin.entry.value
            raise ConnectorRefused(f"{where} has the name {connector.name!r}, and its entry point {self.name!r}")
        return connector


Known: TypeAlias = Connector | InstalledConnector


class Connectors:
    """The connectors by name. `broken` says why connectors cannot be used; it gets those that are found broken when
    they are first used. `folder` are the operator's own."""

    def __init__(self, installed: Mapping[str, Known], folder: ConnectorFolder | None = None) -> None:
        self.folder = folder or ConnectorFolder(None)
        self.broken: dict[str, str] = {}
        self.revision = 0
        """Changes with every change of the folder."""
        self._installed = dict(installed)
        self._packages = {
            name: ", ".join(each.packages) for name, each in installed.items() if isinstance(each, InstalledConnector)
        }
        self._take_over()

    @property
    def names(self) -> list[str]:
        """The names of all connectors, also of those that are broken."""
        return sorted({*self._installed, *self.folder.files})

    @property
    def installed(self) -> Mapping[str, Known]:
        return self._installed

    def find_origin(self, name: str) -> str | None:
        """The file or the packages that a connector comes from; None if it was made in this process."""
        file = self.folder.files.get(name)
        return str(file.path) if file else self._packages.get(name)

    @cached_property
    def actions(self) -> Mapping[str, Action]:
        """Every action, by `connector.action`. A connector is loaded when one of its actions is first asked for."""
        return _Actions(self)

    @cached_property
    def skipped(self) -> Mapping[str, str]:
        """Why parts of what describes a service are not actions, by `connector.action`."""
        return _Skipped(self)

    def find(self, name: str) -> Connector | None:
        """Return the connector of this name; None if there is none, or it is broken."""
        if file := self.folder.files.get(name):
            return file.connector
        known = self._installed.get(name)
        if not isinstance(known, InstalledConnector):
            return known
        if name in self.broken:
            return None
        try:
            loaded = self._installed[name] = known.load()
        except (ConnectorRefused, ExtraMissing) as error:
            self.broken[name] = str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything
            self.broken[name] = f"{type(error).__name__}: {error}"
        else:
            return loaded
        return None

    def load_all(self) -> Mapping[str, Connector]:
        """Load every connector, and return those that can be used, by name."""
        return {name: connector for name in self.names if (connector := self.find(name))}

    def refresh(self) -> bool:
        """Read the operator's folder again; returns whether it changed."""
        if not self.folder.refresh():
            return False
        self.revision += 1
        self._take_over()
        return True

    def find_connection_model(self, name: str) -> type[BaseModel] | None:
        """The model of what a connection of this connector says; None if it takes none, or cannot be used."""
        connector = self.find(name)
        if connector is None or connector.connection is None or not connector.takes_auth:
            return connector.connection if connector else None
        return add_auth_field(connector.connection)

    def needs_connection(self, name: str) -> bool:
        """Whether the actions of this connector can do nothing without a connection: what one says has no defaults."""
        connector = self.find(name)
        if connector is None or connector.connection is None or connector.takes_auth:
            return False
        try:
            connector.connection.model_validate({})
        except ValidationError:
            return True
        return False

    def find_limit(self, name: str) -> Limit:
        """The limit that this connector declares for its connections."""
        connector = self.find(name)
        return connector.limit if connector else NO_LIMIT

    def list_connectable(self) -> list[str]:
        """The connectors that take a connection."""
        return [name for name, connector in self.load_all().items() if connector.connection]

    def _take_over(self) -> None:
        """Let the operator's connectors count instead of installed ones of the same name."""
        for name in self.folder.changed:
            self.broken.pop(name, None)
        for name, file in self.folder.files.items():
            if file.connector is None:
                self.broken[name] = file.explain()
            elif file.connector.discovery and file.connector.discovery.problem:
                self.broken[name] = file.connector.discovery.problem


class _Actions(Mapping[str, Action]):
    """Every action, by `connector.action`."""

    def __init__(self, connectors: Connectors) -> None:
        self._connectors = connectors

    def __getitem__(self, use: str) -> Action:
        name, _, action = use.partition(".")
        connector = self._connectors.find(name)
        if connector is None:
            raise KeyError(use)
        return connector.actions[action]

    def __iter__(self) -> Iterator[str]:
        for name, connector in self._connectors.load_all().items():
            yield from (f"{name}.{action}" for action in connector.actions)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Skipped(Mapping[str, str]):
    """Why parts of what describes a service are not actions, by `connector.action`."""

    def __init__(self, connectors: Connectors) -> None:
        self._connectors = connectors

    def __getitem__(self, use: str) -> str:
        name, _, action = use.partition(".")
        connector = self._connectors.find(name)
        if connector is None:
            raise KeyError(use)
        return connector.skipped[action]

    def __iter__(self) -> Iterator[str]:
        for name, connector in self._connectors.load_all().items():
            yield from (f"{name}.{action}" for action in connector.skipped)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def find_connectors() -> list[InstalledConnector]:
    """Every connector that is installed, by name, without loading any; raises `NoConnectors`."""
    entries = find_entry_points(GROUP)
    if not any(entry.dist and entry.dist.name == DISTRIBUTION for entry in entries):
        raise NoConnectors(GROUP)
    found = [(entry.name, ConnectorOrigin(entry)) for entry in entries]
    for entry in find_entry_points(FOLDERS):
        folder = find_package_folder(entry.value)
        files = sorted(path for path in folder.iterdir() if is_connector_file(path)) if folder else []
        found += [(path.stem, ConnectorOrigin(entry, path)) for path in files if path.suffix != ".py"]
    found.sort(key=lambda each: each[0])
    return [
        InstalledConnector(name, tuple(origin for _, origin in of_name))
        for name, of_name in groupby(found, key=lambda each: each[0])
    ]


def load_connectors(config: Path | None = None, data: Path | None = None) -> Connectors:
    """Find every connector that is installed, and read those of a config folder, with what is known of their services
    in a data folder; raises `NoConnectors`."""
    folder = ConnectorFolder(config, data / MEMORY if data else None)
    return Connectors({each.name: each for each in find_connectors()}, folder)
