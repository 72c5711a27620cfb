"""Origins: scheme, host and port of a URL."""

from typing import NamedTuple, Self

import httpx

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port: what two requests must share to share a connection."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Self:
        """Raises `httpx.UnsupportedProtocol`."""
        scheme, host = url.scheme, url.raw_host
        if scheme not in _PORTS or not host:
            raise httpx.UnsupportedProtocol("the URL must be absolute and begin with http:// or https://")
        port = _PORTS[scheme] if url.port is None else url.port
        if not 0 < port <= 65_535:
            raise httpx.UnsupportedProtocol(f"there is no port {port}")
        return cls(scheme, host.decode("ascii"), port)

    @property
    def address(self) -> str:
        """The origin as a URL, without the scheme's own port."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
