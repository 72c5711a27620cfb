"""A request that is about to be sent, as the schemes of authentication see and change it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from connectors.wire.url import Params


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request before its credentials are added. `content` is the body as it will be sent; `headers` include its
    content type."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    content: bytes | None = None

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return the request with these headers instead of its own ones of the same names."""
        names = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return replace(self, headers=kept | dict(headers))
