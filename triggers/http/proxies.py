"""Reverse proxies: which client a request comes from, if a trusted proxy says so.

A proxy appends the address of its own client to `X-Forwarded-For`. What stands further left was sent to it, perhaps by
the client itself, and is believed only as far as the chain of trusted proxies reaches.
"""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from starlette.types import Scope

HOPS_LIMIT = 20
"""The addresses that are looked at, from the right. No chain of proxies is longer."""

_FORWARDED = b"x-forwarded-for"


class TrustedProxies:
    """The networks of the proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ipaddress.ip_network(each) for each in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def find_client(self, scope: Scope) -> tuple[str, int] | None:
        """The client of a request: its peer, or, if that is a trusted proxy, the last address in front of the trusted
        ones. An address that cannot be read ends the chain."""
        peer: tuple[str, int] | None = scope["client"]
        if peer is None or not self._trusts(peer[0]):
            return peer
        found, hops = peer, [value for name, value in scope["headers"] if name == _FORWARDED]
        for hop in b",".join(hops).rsplit(b",", HOPS_LIMIT)[::-1][:HOPS_LIMIT]:
            address = _parse_address(hop.decode("latin-1").strip())
            if address is None:
                break
            found = (str(address), 0)
            if not self._trusts(found[0]):
                break
        return found

    def _trusts(self, text: str) -> bool:
        address = _parse_address(text)
        return address is not None and any(address in network for network in self._networks)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, which may have a port; one of IPv4 that is written as IPv6 is one of IPv4."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
