"""The connectors of this installation: found by the entry-point group `waypost.connectors`, imported when needed.

    ConnectorRefused        an entry point that cannot be used as a connector

A connector that cannot be loaded disables only the pipelines that use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from pydantic import BaseModel

from durable.action import Action, Connector
from durable.blocks.core_actions import CORE_INPUTS
from durable.lazy import DISTRIBUTION, EntryPoint, ExtraMissing, find_entry_points, load_entry_point
from triggers.not_found import NoConnectors

GROUP = "waypost.connectors"
CORE_NAMES = frozenset(use.partition(".")[0] for use in CORE_INPUTS)


class ConnectorRefused(Exception):
    """An entry point that cannot be used as a connector; the message says why."""


@dataclass(frozen=True, slots=True)
class InstalledConnector:
    """A connector by the name of its entry point, not imported yet. With several `entries` its name is not unique."""

    name: str
    entries: tuple[EntryPoint, ...]

    @property
    def packages(self) -> list[str]:
        """The packages that install it, with their versions."""
        return sorted(f"{entry.dist.name} {entry.dist.version}" for entry in self.entries)

    def ensure_unique(self) -> None:
        """Raise `ConnectorRefused` where other actions have its name."""
        if self.name in CORE_NAMES:
            raise ConnectorRefused(f"Waypost itself has actions named {self.name!r}")
        if len(self.entries) > 1:
            raise ConnectorRefused(f"several packages have a connector of this name: {', '.join(self.packages)}")

    def load(self) -> Connector:
        """Import it; raises `ConnectorRefused` and whatever its module raises."""
        self.ensure_unique()
        [entry] = self.entries
        connector = load_entry_point(entry)
        if not isinstance(connector, Connector):
            raise ConnectorRefused(f"{entry.value} is not a durable.action.Connector")
        if connector.name != self.name:
            raise ConnectorRefused(f"{entry.value} has the name {connector.name!r}, and its entry point {self.name!r}")
        return connector


@dataclass(frozen=True)
class Connectors:
    """The connectors that are loaded, and why the others are not; both by name."""

    loaded: Mapping[str, Connector]
    broken: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def actions(self) -> dict[str, Action]:
        """Every action, by `connector.action`."""
        return {
            f"{name}.{action}": each
            for name, connector in self.loaded.items()
            for action, each in connector.actions.items()
        }

    def find_connection_model(self, name: str) -> type[BaseModel] | None:
        """The model of what a connection of this connector says; None if it takes none, or is not loaded."""
        connector = self.loaded.get(name)
        return connector.connection if connector else None

    def list_connectable(self) -> list[str]:
        """The connectors that take a connection."""
        return [name for name, connector in self.loaded.items() if connector.connection]


def find_connectors() -> list[InstalledConnector]:
    """Every connector that is installed, by name, without importing any; raises `NoConnectors`."""
    entries = find_entry_points(GROUP)
    if not any(entry.dist and entry.dist.name == DISTRIBUTION for entry in entries):
        raise NoConnectors(GROUP)
    return [InstalledConnector(name, tuple(of_name)) for name, of_name in groupby(entries, lambda entry: entry.name)]


def load_connectors() -> Connectors:
    """Import every connector that is installed; raises `NoConnectors`."""
    loaded: dict[str, Connector] = {}
    broken: dict[str, str] = {}
    for installed in find_connectors():
        try:
            loaded[installed.name] = installed.load()
        except (ConnectorRefused, ExtraMissing) as error:
            broken[installed.name] = str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything
            broken[installed.name] = f"{type(error).__name__}: {error}"
    return Connectors(loaded, broken)
