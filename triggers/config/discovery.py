"""Learns the actions of connectors whose files do not list them, from the services themselves.

What a service lists is stored in the data folder, so that its actions stay usable while it is down. It is asked when
nothing is known of it.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from durable.action import ActionError, Connector, Context, OpenConnection
from durable.redactor import Redactor
from durable.secrets import SecretMissing
from triggers.config.catalogue import Connectors
from triggers.config.connections import Connections

log = logging.getLogger("waypost.connectors")

RETRY_SECONDS = 30.0
"""The time after which a running service asks again."""

Keep = Callable[[Collection[tuple[str, str]]], None]
"""Ends the use of services that are not among these, given by connector and source."""


def find_unknown(connectors: Connectors) -> list[Connector]:
    """Return the connectors of the operator's folder whose actions are not known."""
    found = [file.connector for file in connectors.folder.files.values() if file.connector]
    return [each for each in found if each.discovery and each.discovery.problem]


class Discoverer:
    """Asks services for their actions. `resources` are those of actions."""

    def __init__(
        self, connectors: Connectors, connections: Connections, resources: Mapping[type, object], keep: Keep
    ) -> None:
        self._connectors = connectors
        self._connections = connections
        self._resources = resources
        self._keep = keep
        self._asked: dict[str, str] = {}

    async def watch(self) -> None:
        """Ask again the services of which nothing is known, until cancelled."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await self._ask_all(find_unknown(self._connectors), RETRY_SECONDS)

    async def follow(self, within: float) -> bool:
        """Follow a change of the folder: end the use of services that it does not name any more, and ask those of which
        nothing is known, once each. Returns whether one was asked: the folder has to be read again."""
        files = self._connectors.folder.files
        known = {name: file.connector.discovery for name, file in files.items() if file.connector}
        sources = {name: each.source for name, each in known.items() if each}
        self._keep(set(sources.items()))
        self._asked = {name: source for name, source in self._asked.items() if sources.get(name) == source}
        new = [each for each in find_unknown(self._connectors) if each.name not in self._asked]
        self._asked |= {each.name: sources[each.name] for each in new}
        await self._ask_all(new, within)
        return bool(new)

    async def _ask_all(self, connectors: Collection[Connector], within: float) -> None:
        """Ask services side by side. One that takes longer than `within` seconds may still answer later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within), asyncio.TaskGroup() as group:
                for each in connectors:
                    group.create_task(self._ask(each))

    async def _ask(self, connector: Connector) -> None:
        assert connector.discovery
        try:
            await connector.discovery.ask(self._make_context(connector))
        except (ActionError, LookupError) as error:  # a command lacks some of the resources of a service
            log.debug("%s", error)  # the file of the connector reports it
        except Exception:
            log.exception("the actions of the connector %s could not be learnt", connector.name)

    def _make_context(self, connector: Connector) -> Context:
        opened = self._open_connection(connector)
        return Context(
            run="",
            path="discovery",
            attempt=1,
            key="",
            log=logging.LoggerAdapter(log, {}),
            resources=self._resources,
            connection=opened.fields if opened else None,
            connection_name=opened.name if opened else None,
            auth=opened.auth if opened else {},
            redactor=Redactor(opened.secrets if opened else ()),
        )

    def _open_connection(self, connector: Connector) -> OpenConnection | None:
        """Return the first connection of a connector that can be used."""
        for name in self._connections.list_names(connector.name):
            with suppress(ActionError, SecretMissing):
                return self._connections.open(name, f"{connector.name}.")
        return None
