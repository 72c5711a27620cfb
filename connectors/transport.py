"""httpx's transport over our own connections: it sends a request once, or says that it certainly did not.

`httpx.ConnectError`, `ConnectTimeout`, `PoolTimeout`, `UnsupportedProtocol` and `LocalProtocolError` mean that not a
byte of the request was sent. After any other error nobody knows. It follows no redirect, keeps no cookie, reads no
proxy from the environment, and resends nothing, whatever the method.
"""

import re
import ssl
from collections.abc import Callable
from typing import cast

import httpx

from connectors.egress import Egress, Resolve, system_resolver
from connectors.pool import Limits, Origin, Pool

BEFORE_SENDING = "before_sending"
"""The request extension that holds a function to be called when the connection is there; it may raise."""

_PORTS = {"http": 80, "https": 443}
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})  # decided here, and by nobody else
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[!-~]+")
_VALUE = re.compile(rb"[^\r\n\0]*")


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 to where `egress` allows, over connections that are kept for the next request."""

    def __init__(
        self,
        egress: Egress,
        *,
        resolve: Resolve = system_resolver,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = Pool(egress, resolve, limits or Limits(), tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = _origin(request.url)
        message = _encoded(request, await request.aread())
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        connection = await self._pool.lend(origin, wait=timeouts.get("pool"), connect=timeouts.get("connect"))
        try:
            cast(Callable[[], None], request.extensions.get(BEFORE_SENDING, _nothing))()
        except BaseException:
            self._pool.returned(connection)
            raise
        exchange = connection.exchange(message, is_head=request.method == "HEAD", timeout=timeouts.get("read"))
        try:
            await exchange.head()
        except BaseException:
            connection.abort()
            raise
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange)

    async def aclose(self) -> None:
        await self._pool.close()


def _nothing() -> None:
    pass


def _origin(url: httpx.URL) -> Origin:
    if url.scheme not in _PORTS or not url.raw_host:
        raise httpx.UnsupportedProtocol("the URL must be absolute and begin with http:// or https://")
    port = url.port or _PORTS[url.scheme]
    if port > 65_535:
        raise httpx.UnsupportedProtocol(f"there is no port {port}")
    return Origin(url.scheme, url.raw_host.decode("ascii"), port)


def _encoded(request: httpx.Request, body: bytes) -> bytes:
    """The whole request as it is sent; raises `httpx.LocalProtocolError` for what would not stay one request."""
    method, target = request.method.encode("ascii", "replace"), request.url.raw_path
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("the method or the URL has characters that HTTP forbids")
    parts = [b"%b %b HTTP/1.1\r\n" % (method, target)]
    for name, value in request.headers.raw:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise httpx.LocalProtocolError(f"the header {name!r} has characters that HTTP forbids")
        if name.lower() not in _FRAMING:
            parts.append(b"%b: %b\r\n" % (name, value))
    if body or request.method in _WITH_BODY:
        parts.append(b"content-length: %d\r\n" % len(body))
    return b"".join((*parts, b"\r\n", body))
