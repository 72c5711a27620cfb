"""Adds the credentials of a connection to a request."""

from connectors.auth.request import OutgoingRequest
from connectors.wire.errors import InvalidRequest
from durable.action import Context
from durable.auth_schemes import load_schemes
from durable.connection_auth import AuthUnfit, read_settings


async def sign_request(context: Context, request: OutgoingRequest) -> OutgoingRequest:
    """Return the request with the credentials of the attempt's connection; unchanged if it has none. Raises
    `ActionError`.

    Call this for each request, immediately before it is sent: signatures contain the time. Never call it for a request
    to another origin than the connection's.
    """
    schemes = load_schemes().loaded
    for name in sorted(context.auth, key=lambda name: name in schemes and schemes[name].is_signature):
        try:
            settings = read_settings(name, context.auth[name])
        except AuthUnfit as unfit:
            raise InvalidRequest(f"the request cannot be signed: {unfit}") from None
        request = await schemes[name].sign(context, settings, request)
    return request
