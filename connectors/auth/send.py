"""Sends requests with the credentials of a connection."""

from typing import NamedTuple

from connectors.auth.request import OutgoingRequest
from connectors.auth.sign import sign_request
from connectors.wire.client import HttpClient
from connectors.wire.response import Response
from durable.action import Context


class SignedExchange(NamedTuple):
    """A response, and the request as it was sent, with its credentials."""

    response: Response
    request: OutgoingRequest


async def send_signed(context: Context, request: OutgoingRequest, *, has_key: bool = False) -> SignedExchange:
    """Send a request to the connection's own service. `has_key`: as for `HttpClient.send`. Raises `ActionError`."""
    signed = await sign_request(context, request)
    return SignedExchange(await send_unsigned(context, signed, has_key=has_key), signed)


async def send_unsigned(context: Context, request: OutgoingRequest, *, has_key: bool = False) -> Response:
    """Send a request as it is. Raises `ActionError`."""
    return await context.resource(HttpClient).send(
        context,
        request.method,
        request.url,
        headers=request.headers,
        params=request.params,
        content=request.content or b"",
        has_key=has_key,
        certificate=request.certificate,
    )
