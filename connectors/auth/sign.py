"""Adds the credentials of a connection to a request, and replaces those that its service has refused."""

from pydantic import BaseModel

from connectors.auth.request import OutgoingRequest
from connectors.wire.errors import InvalidRequest
from durable.action import Context
from durable.auth_schemes import load_schemes
from durable.connection_auth import AuthUnfit, read_settings
from durable.grant import take_access_tokens


async def sign_request(context: Context, request: OutgoingRequest) -> OutgoingRequest:
    """Return the request with the credentials of the attempt's connection; unchanged if it has none. Raises
    `ActionError`.

    Call this for each request, immediately before it is sent: signatures contain the time. Never call it for a request
    to another origin than the connection's.
    """
    schemes = load_schemes().loaded
    for name in sorted(context.auth, key=lambda name: name in schemes and schemes[name].is_signature):
        settings = _read_settings(context, name)
        request = await schemes[name].sign(context, settings, request)
    return request


def can_replace(context: Context) -> bool:
    """Whether credentials of the attempt's connection can be replaced if its service refuses them."""
    schemes = load_schemes().loaded
    return any(name in schemes and schemes[name].flow is not None for name in context.auth)


async def replace_refused(context: Context, refused: OutgoingRequest) -> bool:
    """Replace the credentials of a signed request that the service has refused (401). Returns whether there are others,
    with which the request is to be signed anew. Raises `ActionError`."""
    schemes = load_schemes().loaded
    for name in context.auth:
        if name in schemes and (flow := schemes[name].flow) is not None:
            settings = _read_settings(context, name)
            return await take_access_tokens(context).replace_refused(context, flow, settings, refused.headers)
    return False


def _read_settings(context: Context, name: str) -> BaseModel:
    try:
        return read_settings(name, context.auth[name])
    except AuthUnfit as unfit:
        raise InvalidRequest(f"the request cannot be signed: {unfit}") from None
