"""Waypost's HTTP transport: sends a request at most once, and its errors say whether any of it was sent.

`httpx.ConnectError`, `ConnectTimeout`, `PoolTimeout`, `UnsupportedProtocol` and `LocalProtocolError` mean that no byte
of the request was sent; after any other error that is unknown. The transport follows no redirects, stores no cookies,
reads no proxy from the environment, and never resends, whatever the method.

It can serve as an httpx transport; `HttpClient` calls `exchange`, which needs no httpx objects for each request.
"""

import ssl

import httpx

from connectors.wire.dialer import Dialer
from connectors.wire.egress import Egress, Resolve, resolve_by_system
from connectors.wire.exchange import Exchange
from connectors.wire.pool import Pool, PoolLimits
from connectors.wire.proxy import Proxy
from connectors.wire.request import Request, Timeouts
from connectors.wire.url import ParsedURL

BEFORE_SENDING = "before_sending"
"""The extension of an httpx request that holds `Request.before_sending`."""


class Transport(httpx.AsyncBaseTransport):
    """Sends HTTP/1.1 requests to destinations that `egress` allows, over persistent connections."""

    def __init__(
        self,
        egress: Egress,
        *,
        resolve: Resolve = resolve_by_system,
        limits: PoolLimits | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        dialer: Dialer | None = None,
    ) -> None:
        """`dialer` makes the connections instead of one with the other arguments."""
        self._pool = Pool(dialer or Dialer(egress, resolve, tls, proxy), limits or PoolLimits())
        self._proxy = proxy

    async def exchange(self, request: Request) -> Exchange:
        """Send a request and return when the head of its response has arrived; raises `httpx.TransportError`."""
        origin = request.url.origin
        if self._proxy and origin.scheme == "http" and self._proxy.serves(origin):
            message = request.encode(is_absolute=True, more=self._proxy.headers())
        else:
            message = request.encode()
        connection = await self._pool.acquire(origin, request.timeouts, request.enter_wait)
        try:
            request.before_sending()
        except BaseException:
            self._pool.release(connection)
            raise
        exchange = connection.send(message, is_head=request.method == "HEAD", timeout=request.timeouts.read)
        try:
            while not exchange.has_head:
                await exchange.wait_for_data()
        except BaseException:
            await exchange.aclose()  # not the connection, which another exchange may use if the response is complete
            raise
        return exchange

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeouts, extensions = request.extensions.get("timeout", {}), request.extensions
        exchange = await self.exchange(
            Request(
                request.method,
                ParsedURL.of(request.url),
                request.headers.raw,
                await request.aread(),
                Timeouts(*map(timeouts.get, Timeouts._fields)),
                extensions.get(BEFORE_SENDING, _do_nothing),
            )
        )
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange)

    async def aclose(self) -> None:
        await self._pool.close()


def _do_nothing() -> None:
    pass
