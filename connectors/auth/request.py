"""A request that is about to be sent, as the schemes of authentication see and change it."""

from dataclasses import dataclass, field

from connectors.wire.url import Params


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request before its credentials are added. `content` is the body as it will be sent; `headers` include its
    content type."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    content: bytes | None = None
