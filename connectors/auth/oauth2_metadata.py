"""The metadata of OAuth 2.0 issuers, which contains their URLs (RFC 8414, and OpenID Connect Discovery)."""

import time

import msgspec

from connectors.wire.client import HttpClient
from connectors.wire.errors import classify_response
from connectors.wire.response import Response
from connectors.wire.url import MalformedURL, parse_url
from durable.action import ActionError, Context
from durable.wording import quote

CACHE_SECONDS = 600


class IssuerMetadata(msgspec.Struct, frozen=True, rename={"client_auths": "token_endpoint_auth_methods_supported"}):
    """What an issuer says of itself, as far as it is used. `client_auths` are the ways in which clients can prove who
    they are."""

    issuer: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    revocation_endpoint: str | None = None
    client_auths: tuple[str, ...] = ()

    def get_url(self, name: str) -> str:
        """Return a URL by its name in the metadata; raises `ActionError` if it is missing."""
        url: str | None = getattr(self, name)
        if url is None:
            raise _refuse(f"the metadata of the issuer {quote(self.issuer)} has no {name}; set the URL itself")
        return url


class MetadataCache:
    """Reads the metadata of issuers, and keeps them for some minutes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, IssuerMetadata]] = {}

    async def read(self, context: Context, issuer: str) -> IssuerMetadata:
        """Return the metadata of an issuer; raises `ActionError`."""
        read_at, known = self._known.get(issuer, (0.0, None))
        if known is None or time.monotonic() - read_at > CACHE_SECONDS:
            known = await _load(context, issuer)
            self._known[issuer] = time.monotonic(), known
        return known


async def _load(context: Context, issuer: str) -> IssuerMetadata:
    response: Response | None = None
    for url in _list_places(issuer):
        response = await context.resource(HttpClient).send(context, "GET", url, headers={"accept": "application/json"})
        if response.is_success:
            return _read(response, issuer)
    assert response, "there are two places"
    message = f"the issuer {quote(issuer)} answered {response.status} instead of its metadata; set the URLs themselves"
    raise ActionError(message, error_class=classify_response(response), code="oauth2_metadata", ending="not_sent")


def _list_places(issuer: str) -> tuple[str, str]:
    """Return where metadata can be: RFC 8414 puts the well-known path before the issuer's path, OpenID after it."""
    try:
        url = parse_url(issuer)
    except MalformedURL as error:
        raise _refuse(f"the issuer cannot be called: {error}") from None
    path = url.target.decode().rstrip("/")
    origin = f"{url.origin.scheme}://{url.host.decode()}"
    openid = f"{origin}{path}/.well-known/openid-configuration"
    return f"{origin}/.well-known/oauth-authorization-server{path}", openid


def _read(response: Response, issuer: str) -> IssuerMetadata:
    try:
        metadata = msgspec.json.decode(response.body, type=IssuerMetadata)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _refuse(f"the metadata of the issuer {quote(issuer)} cannot be read; set the URLs themselves") from None
    if metadata.issuer.rstrip("/") != issuer.rstrip("/"):
        raise _refuse(f"the metadata of the issuer {quote(issuer)} belongs to another issuer")
    for url in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.revocation_endpoint):
        if url is not None and issuer.startswith("https:") and not url.startswith("https:"):
            raise _refuse(f"the metadata of the issuer {quote(issuer)} contains a URL without https")
    return metadata


def _refuse(message: str) -> ActionError:
    return ActionError(message, error_class="invalid", code="oauth2_metadata", ending="not_sent")
