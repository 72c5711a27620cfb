"""Origins: scheme, host and port of a URL."""

from typing import NamedTuple, Self

import httpx

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """An origin; requests to the same origin can share a connection. `address` is the origin as a URL, without the
    scheme's default port."""

    scheme: str
    host: str
    port: int
    address: str

    @classmethod
    def of(cls, url: httpx.URL) -> Self:
        """Return the origin of a URL; raises `httpx.UnsupportedProtocol`."""
        scheme, host = url.scheme, url.raw_host.decode("ascii")
        if scheme not in _PORTS or not host:
            raise httpx.UnsupportedProtocol("the URL must be absolute and begin with http:// or https://")
        port = _PORTS[scheme] if url.port is None else url.port
        if not 0 < port <= 65_535:
            raise httpx.UnsupportedProtocol(f"there is no port {port}")
        written = f"{scheme}://{_write_host(host)}"
        address = written if port == _PORTS[scheme] else f"{written}:{port}"
        return cls(scheme, host, port, address)

    def __str__(self) -> str:
        return f"{_write_host(self.host)}:{self.port}"


def _write_host(host: str) -> str:
    """Return a host as URLs contain it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
