"""The HTTP proxy for outgoing requests, if the operator has configured one.

    ProxyRefused        the proxy refused a tunnel; nothing was sent to the service

An https request goes through a tunnel (CONNECT), so that the proxy sees only its host and port. An http request is sent
to the proxy itself, in absolute form (RFC 9112, 3.2.2 and 3.2.3).
"""

import asyncio
import base64
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import cast

import httpx

from connectors.wire.egress import Address, Egress, normalize_host, parse_address
from connectors.wire.lenient import HEAD_LIMIT, read_status
from connectors.wire.origin import Origin
from connectors.wire.request import Header
from connectors.wire.url import parse_url


class ProxyRefused(httpx.ConnectError):
    """The proxy refused a tunnel; `status` is that of its response."""

    def __init__(self, status: int) -> None:
        cure = ": set WAYPOST_SECRET_EGRESS_PROXY to user:password" if status == 407 else ""
        super().__init__(f"the proxy answered {status} to CONNECT{cure}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy's address, and the destinations that are `direct`, without it: hosts with sub-domains, networks, and
    this machine.

    `credentials` returns the current `user:password`, or None.
    """

    host: str
    port: int
    direct: Egress
    credentials: Callable[[], str | None]

    @classmethod
    def parse(cls, url: str, direct: Egress, credentials: Callable[[], str | None]) -> "Proxy":
        """Parse `http://proxy.internal:3128`; raises `MalformedURL`."""
        origin = parse_url(url).origin
        return cls(origin.host, origin.port, direct, credentials)

    def serves(self, origin: Origin) -> bool:
        """Whether requests to an origin go through the proxy."""
        host = normalize_host(origin.host)
        address = parse_any_address(host)
        if address is not None:
            return not (address.is_loopback or self.direct.names_network_of(address))
        labels = host.split(".")
        names = {".".join(labels[start:]) for start in range(len(labels))}
        return labels[-1] != "localhost" and self.direct.hosts.isdisjoint(names)

    def headers(self) -> list[Header]:
        """The headers that authenticate to the proxy."""
        credentials = self.credentials()
        if not credentials:
            return []
        return [(b"proxy-authorization", b"Basic " + base64.b64encode(credentials.encode()))]

    def encode_connect(self, origin: Origin) -> bytes:
        """The request for a tunnel."""
        target = str(origin).encode("ascii")
        headers = [(b"Host", target), *self.headers()]
        lines = [b"CONNECT %b HTTP/1.1" % target, *(b": ".join(header) for header in headers)]
        return b"\r\n".join((*lines, b"", b""))


def parse_any_address(host: str) -> Address | None:
    """Return the address of a host written as one, in any spelling that a proxy's resolver may accept (`0x7f.1`)."""
    if address := parse_address(host):
        return address
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


class Tunnel(asyncio.Protocol):
    """A connection to a proxy until the response to CONNECT has arrived; `opened` then has the transport."""

    def __init__(self, request: bytes) -> None:
        self.opened: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        self._request = request
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self.opened.done():
            return
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            if len(head) > HEAD_LIMIT:
                self._fail(OSError("the proxy's answer to CONNECT does not end"))
            return
        status = read_status(head)
        if status is None or rest:
            self._fail(OSError("the proxy's answer to CONNECT is not valid HTTP"))
        elif not 200 <= status < 300:
            self._fail(ProxyRefused(status))
        else:
            self.opened.set_result(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionResetError("the proxy closed the connection"))

    def abort(self) -> None:
        self._transport.abort()
        if self.opened.done() and not self.opened.cancelled():
            self.opened.exception()  # marks it as retrieved

    def _fail(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
