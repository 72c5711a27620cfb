"""The egress guard: requests may go to public addresses, and to those that the operator allows.

It checks addresses, not names: a host is resolved first, every address is checked, and the connection is made to a
checked address. So neither an unusual spelling nor a second result of the resolver can bypass it.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias

import httpx

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Resolves a host to its addresses; raises `OSError` if there are none."""

_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "private to a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("169.254.0.0/16", "link-local, where clouds keep their metadata service"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/32", "a Teredo tunnel"),
        ("2001::/23", "reserved for protocols"),
        ("2001:db8::/32", "reserved for documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("3fff::/20", "reserved for documentation"),
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")  # all addresses that IANA has allocated for public use
_NAT64 = IPv6Network("64:ff9b::/96")

_HOST = re.compile(r"([a-z0-9_-]{1,63}\.)*(?!\d+$)[a-z0-9_-]{1,63}")  # a last label of digits would be an address


class EgressRefused(httpx.ConnectError):
    """The request is not allowed to go there; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Egress:
    """The operator's allow-list of hosts and networks. All other addresses must be public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `127.0.0.0/8, ::1, crm.internal`; raises `ValueError` for an item that is neither a host nor a
        network."""
        hosts: set[str] = set()
        networks: list[Network] = []
        for item in re.split(r"[,\s]+", text.strip(", \t\r\n")):
            if not item:
                continue
            try:
                networks.append(ip_network(item, strict=False))
            except ValueError:
                hosts.add(_parse_host(item))
        return cls(frozenset(hosts), tuple(networks))

    def ensure_allowed(self, host: str, addresses: Sequence[Address]) -> None:
        """Raise `EgressRefused` unless every address of the host is allowed."""
        if normalize_host(host) in self.hosts:
            return
        for address in addresses:
            reason = self._reason_against(address)
            if reason:
                where = f"{host} is" if host == str(address) else f"{host} is {address}, which is"
                raise EgressRefused(
                    f"{where} {reason}: requests go only to public addresses, and to those that the setting "
                    "`egress_allow` (WAYPOST_EGRESS_ALLOW) names by host or network"
                )

    def names_network_of(self, address: Address) -> bool:
        """Whether one of the networks contains the address."""
        meant = _unwrap(address)
        return any(_is_within(network, address) or _is_within(network, meant) for network in self.networks)

    def _reason_against(self, address: Address) -> str | None:
        if self.names_network_of(address):
            return None
        meant = _unwrap(address)
        for network, reason in _REFUSED:
            if _is_within(network, meant):
                return reason
        if isinstance(meant, IPv6Address) and meant not in _GLOBAL_IPV6:
            return "not public"
        return None


def normalize_host(host: str) -> str:
    """Return the canonical spelling of a host: lower case, without a domain name's final dot."""
    return host.lower().removesuffix(".")


def parse_address(host: str) -> Address | None:
    """Return the address of a host written as one; unusual spellings (`0x7f.1`) are left to the resolver."""
    try:
        return ip_address(normalize_host(host))
    except ValueError:
        return None


async def resolve_by_system(host: str, port: int) -> Sequence[Address]:
    """Resolve through the operating system, in a thread; raises `OSError`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise OSError(f"{host!r} is not a host name") from error
    return [ip_address(address[0]) for *_, address in found]


def _unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if the network would translate it."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


def _is_within(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _parse_host(item: str) -> str:
    try:
        host = normalize_host(httpx.URL(scheme="http", host=item).raw_host.decode("ascii"))
    except httpx.InvalidURL:
        host = ""
    if not _HOST.fullmatch(host):
        raise ValueError(f"egress_allow: {item!r} is neither a host name nor a network such as 10.0.0.0/8")
    return host
