"""Sends requests with the credentials of a connection."""

from typing import NamedTuple

from connectors.auth.request import OutgoingRequest
from connectors.auth.sign import can_replace, replace_refused, sign_request
from connectors.wire.client import UNSAFE_METHODS, HttpClient, has_idempotency_key
from connectors.wire.response import Response
from durable.action import Context

UNAUTHORIZED = 401


class SignedExchange(NamedTuple):
    """A response, and the request as it was sent, with its credentials."""

    response: Response
    request: OutgoingRequest


async def send_signed(context: Context, request: OutgoingRequest, *, has_key: bool = False) -> SignedExchange:
    """Send a request to the connection's own service. `has_key`: as for `HttpClient.send`. Raises `ActionError`.

    If the service refuses an access token (401), it is replaced once, and the request is sent again with the same key.
    """
    if not context.auth or not can_replace(context):
        signed = await _sign_in_turn(context, request)
        return SignedExchange(await _send(context, signed, has_key=has_key, has_passed=True), signed)
    if has_key and request.method in UNSAFE_METHODS and not has_idempotency_key(request.headers):
        request = request.with_headers({"idempotency-key": context.next_key()})
    signed = await _sign_in_turn(context, request)
    response = await _send(context, signed, has_passed=True)
    if response.status == UNAUTHORIZED and await replace_refused(context, signed):
        signed = await _sign_in_turn(context, request)
        response = await _send(context, signed, has_passed=True)
    return SignedExchange(response, signed)


async def send_unsigned(context: Context, request: OutgoingRequest) -> Response:
    """Send a request as it is. Raises `ActionError`."""
    return await _send(context, request)


async def _sign_in_turn(context: Context, request: OutgoingRequest) -> OutgoingRequest:
    """Sign a request when the limits of its connection let it be sent: by then, an earlier signature may be too old."""
    if context.gate is not None:
        await context.gate.pass_request(context)
    return await sign_request(context, request)


async def _send(
    context: Context, request: OutgoingRequest, *, has_key: bool = False, has_passed: bool = False
) -> Response:
    return await context.resource(HttpClient).send(
        context,
        request.method,
        request.url,
        headers=request.headers,
        params=request.params,
        content=request.content or b"",
        has_key=has_key,
        has_passed=has_passed,
        certificate=request.certificate,
    )
