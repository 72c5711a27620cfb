"""Learns the actions of connectors whose files do not list them, for commands that need no running service."""

import asyncio

from durable.lazy import load_module
from triggers.config.catalogue import Connectors, load_connectors
from triggers.config.discovery import find_unknown
from triggers.instance import Instance
from triggers.settings import Settings


def load_known_connectors(instance: Instance) -> Connectors:
    """Load the connectors of an instance, with the actions that their services list; raises `NoConnectors` and
    `SettingsError`."""
    connectors = load_connectors(instance.config, instance.data)
    if learn_actions(connectors, instance):
        connectors.refresh()
    return connectors


def learn_actions(connectors: Connectors, instance: Instance) -> bool:
    """Ask services whose actions are not known. Returns whether one was asked; the folder then has to be read again."""
    if not find_unknown(connectors):
        return False
    settings = Settings.load(instance.config, instance.environment, {})
    # What only a service needs takes half a second to import.
    secrets = load_module("triggers.reading.stored_secrets").load_secrets(instance)
    asyncio.run(load_module("triggers.service").learn_actions(settings, instance, connectors, secrets))
    return True
