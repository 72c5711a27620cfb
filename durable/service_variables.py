"""Environment variables that no operator wrote: Kubernetes sets them for every Service in the namespace of a pod, and
Docker for a linked container. If a Service is named `waypost` or `waypost-api`, their names begin like ours.

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
    """Whether the same Service as this variable has an address: whether more than the variable's own name tells."""
    found = _NAME.fullmatch(name)
    return found is not None and _ADDRESS.fullmatch(environment.get(f"{found['service']}_PORT", "")) is not None
