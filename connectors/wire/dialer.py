"""Makes connections: resolves a host, asks the egress guard, connects to an allowed address, and starts TLS."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TypeVar

from connectors.wire.certificate import make_tls_context
from connectors.wire.connection import Connection
from connectors.wire.egress import Address, Egress, Resolve, normalize_host, parse_address
from connectors.wire.origin import Origin
from connectors.wire.proxy import Proxy, Tunnel, parse_any_address

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)


class Dialer:
    """Connects to origins that `egress` allows, through the proxy if there is one."""

    def __init__(self, egress: Egress, resolve: Resolve, tls: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        self._egress = egress
        self._resolve = resolve
        self._given_tls = tls
        self._proxy = proxy
        self._lookups: dict[tuple[str, int], asyncio.Future[Sequence[Address]]] = {}

    async def connect(self, origin: Origin, make: Callable[[], Connection], timeout: float | None) -> Connection:
        """Return a new connection, on which nothing has been sent to the origin; raises `OSError` or
        `httpx.ConnectError`."""
        if self._proxy and self._proxy.serves(origin):
            return await self._connect_by_proxy(self._proxy, origin, make, timeout)
        addresses = await self._find_addresses(origin.host, origin.port)
        self._egress.ensure_allowed(origin.host, addresses)
        tls = self._tls if origin.scheme == "https" else None
        return await self._dial(make, addresses, origin.port, timeout, tls, origin.host)

    async def _connect_by_proxy(
        self, proxy: Proxy, origin: Origin, make: Callable[[], Connection], timeout: float | None
    ) -> Connection:
        """Connect through the proxy. The proxy resolves host names, and may refuse them; a host given as an address is
        checked here."""
        if written := parse_any_address(normalize_host(origin.host)):
            self._egress.ensure_allowed(origin.host, [written])
        addresses = await self._find_addresses(proxy.host, proxy.port)
        if origin.scheme == "http":
            return await self._dial(make, addresses, proxy.port, timeout)
        request = proxy.encode_connect(origin)
        tunnel = await self._dial(lambda: Tunnel(request), addresses, proxy.port, timeout)
        try:
            transport = await tunnel.opened
            connection = make()
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, connection, self._tls, server_hostname=normalize_host(origin.host)
            )
        except BaseException:
            tunnel.abort()
            raise
        if encrypted is None or encrypted.is_closing():
            raise ConnectionResetError("the connection through the proxy closed immediately")
        connection.connection_made(encrypted)
        return connection

    async def _find_addresses(self, host: str, port: int) -> Sequence[Address]:
        written = parse_address(host)
        return [written] if written else await self._look_up(normalize_host(host), port)

    async def _look_up(self, host: str, port: int) -> Sequence[Address]:
        """Resolve a host name once for all concurrent requests: there are few resolver threads, and a slow name would
        block the others."""
        lookup = self._lookups.get((host, port))
        if lookup is None:
            lookup = self._lookups[host, port] = asyncio.ensure_future(self._resolve(host, port))
            lookup.add_done_callback(partial(self._finish_lookup, (host, port)))
        return await asyncio.shield(lookup)

    def _finish_lookup(self, name: tuple[str, int], lookup: "asyncio.Future[Sequence[Address]]") -> None:
        del self._lookups[name]
        if not lookup.cancelled():
            lookup.exception()  # marks it as retrieved; callers that still wait raise it

    async def _dial(
        self,
        make: Callable[[], Protocol],
        addresses: Sequence[Address],
        port: int,
        timeout: float | None,
        tls: ssl.SSLContext | None = None,
        host: str = "",
    ) -> Protocol:
        """Connect to the first address that accepts; each gets a share of the time. Raises `OSError`."""
        failure = OSError("the host has no address")
        for address in addresses:
            try:
                async with asyncio.timeout(timeout and timeout / len(addresses)):
                    transport, protocol = await asyncio.get_running_loop().create_connection(
                        make, str(address), port, ssl=tls, server_hostname=normalize_host(host) if tls else None
                    )
            except OSError as error:
                failure = error
            else:
                if not transport.is_closing():
                    return protocol
                failure = ConnectionResetError("the server closed it immediately")
        raise failure

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Trusts the certificates that the machine and browsers trust; created on first use, because that is slow."""
        if self._given_tls is not None:
            return self._given_tls
        return make_tls_context()
