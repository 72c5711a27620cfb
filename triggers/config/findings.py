"""What an operator should know of the environment before the service starts."""

import logging

from durable.secrets import Secrets
from durable.wording import quote
from triggers.config.catalogue import Connectors
from triggers.secret_store import SecretStore
from triggers.settings import Settings

log = logging.getLogger("waypost.service")


def log_findings(settings: Settings, secrets: Secrets, secret_store: SecretStore, connectors: Connectors) -> None:
    """Log what is wrong, or doubtful, with settings, secrets, the store key and connectors."""
    if settings.service_variables:
        log.info(
            "%s are ignored: Kubernetes or Docker set them for a service of that name (`enableServiceLinks: false` in "
            "the pod turns that off)",
            ", ".join(settings.service_variables),
        )
    for warning in settings.unknown:
        log.warning("%s", warning)
    unreadable = {each.name for each in secret_store.unreadable if each.kind == "secret"}
    for name in secrets.names():
        if name in unreadable and secrets.find_source(name) == "store":
            continue  # what the store says of it follows
        for problem in secrets.find_doubts(name):
            log.warning("the secret %s %s", quote(name), problem)
    for finding in secret_store.find_problems():
        log.error("%s", finding)
    for name, why in connectors.broken.items():
        log.error("the connector %s cannot be used: %s", quote(name), why)
