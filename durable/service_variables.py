"""Recognises environment variables that Kubernetes sets for every Service in a pod's namespace, and Docker for a linked
container. If a Service is named `waypost` or `waypost-api`, they have the same prefix as Waypost's settings.

https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

import re
from collections.abc import Mapping

_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://\S+")
_NAME = re.compile(
    r"(?P<service>[A-Z0-9_]+?)_"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)"
)


def is_service_variable(name: str, value: str) -> bool:
    """Whether a variable looks like one that describes a Service. The value of a `*_PORT` must be an address with a
    protocol."""
    found = _NAME.fullmatch(name)
    if found is None:
        return False
    return name != f"{found['service']}_PORT" or _ADDRESS.fullmatch(value) is not None


def describes_known_service(name: str, environment: Mapping[str, str]) -> bool:
    """Whether another variable, the Service's address, confirms that this variable describes a Service."""
    found = _NAME.fullmatch(name)
    return found is not None and _ADDRESS.fullmatch(environment.get(f"{found['service']}_PORT", "")) is not None
