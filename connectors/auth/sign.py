"""Adds a connection's credentials to a request."""

from dataclasses import replace
from typing import Any, Protocol

from connectors.auth.request import OutgoingRequest
from connectors.wire.errors import InvalidRequest
from durable.action import Context
from durable.wording import quote


class Scheme(Protocol):
    """Adds credentials to a request; `settings` is what the connector declares, with the connection's fields filled
    in. Raises `ActionError`."""

    async def __call__(self, context: Context, settings: Any, request: OutgoingRequest, /) -> OutgoingRequest: ...


async def sign_request(context: Context, request: OutgoingRequest) -> OutgoingRequest:
    """Return the request with the credentials of the attempt's connection; unchanged if it has none. Raises
    `ActionError`."""
    if not context.auth:
        return request
    [(name, settings)] = context.auth.items()
    scheme = SCHEMES.get(name)
    if scheme is None:
        raise InvalidRequest(f"the connection uses the authentication {quote(name)}, which is not known")
    return await scheme(context, settings, request)


async def _add_bearer(context: Context, settings: Any, request: OutgoingRequest) -> OutgoingRequest:
    return replace(request, headers=request.headers | {"authorization": f"Bearer {settings}"})


SCHEMES: dict[str, Scheme] = {"bearer": _add_bearer}
