"""The way out: connectors to services, and the one HTTP client that they share."""

from connectors import http, log, transform
from durable.action import Connector

BUILT_IN: tuple[Connector, ...] = (
    http.CONNECTOR,
    log.CONNECTOR,
    transform.CONNECTOR,
)
