"""What pipelines can use: the composition root's list of connectors, for whoever needs no service."""

from collections.abc import Sequence
from pathlib import Path

from connectors import BUILT_IN
from durable.action import Action, Connector
from durable.secrets import Secrets
from triggers.connections import Connections


def actions(connectors: Sequence[Connector] = BUILT_IN) -> dict[str, Action]:
    """Every action that the connectors offer, by `connector.action`."""
    return {f"{connector.name}.{action.name}": action for connector in connectors for action in connector.actions}


def connections(config: Path, secrets: Secrets, connectors: Sequence[Connector] = BUILT_IN) -> Connections:
    """The config folder's connections, of these connectors."""
    return Connections(config, {connector.name: connector.connection for connector in connectors}, secrets)
