"""A request that is about to be sent, as the schemes of authentication see and change it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import httpx

from connectors.wire.certificate import ClientCertificate
from connectors.wire.errors import InvalidRequest
from connectors.wire.url import MalformedURL, Params, ParsedURL, Scalar, add_params, parse_url


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request before its credentials are added. `content` is the body as it will be sent; `headers` include its
    content type. `certificate` is for the connection that it is sent on."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    content: bytes | None = None
    certificate: ClientCertificate | None = None

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return the request with these headers instead of its own ones of the same names."""
        names = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return replace(self, headers=kept | dict(headers))

    def with_params(self, params: Mapping[str, Scalar]) -> Self:
        """Return the request with these query parameters instead of its own ones of the same names. The URL may have
        them already: services add them to the URL of the next page, and of a redirect."""
        url, written = self.url, httpx.URL(self.url).params if "?" in self.url else {}
        for name in params.keys() & written.keys():
            url = str(httpx.URL(url).copy_remove_param(name))
        return replace(self, url=url, params={**self.params, **params})

    def settle_url(self) -> Self:
        """Return the request with its parameters in its URL, as they will be sent; raises `InvalidRequest`."""
        try:
            return replace(self, url=parse_url(add_params(self.url, self.params)).text, params={})
        except (MalformedURL, UnicodeError, TypeError) as error:
            raise InvalidRequest(f"{self.method}: the request cannot be made: {error}") from None

    def parse_url(self) -> ParsedURL:
        """Parse the URL of a request whose parameters are in it."""
        return parse_url(self.url)
