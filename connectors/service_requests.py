"""The requests of `Context.http`: to the service of a step's connection, with its credentials."""

from functools import partialmethod
from typing import Unpack

from msgspec import UNSET

from connectors.auth.request import OutgoingRequest
from connectors.auth.send import send_signed, send_unsigned
from connectors.wire.client import LARGE, UNSAFE_METHODS, encode_body, has_idempotency_key
from connectors.wire.errors import InvalidRequest, describe_request, explain_refusal
from connectors.wire.join import is_absolute, join_url
from connectors.wire.response import Response
from connectors.wire.url import RELATIVE, MalformedURL, find_problem, parse_url
from durable.action import ActionError, Context
from durable.charsets import Undecodable, UnknownCharset
from durable.http_port import RequestOptions
from durable.turns import take_turn
from durable.values import JSON, NotJSON

KEY_HEADER = "Idempotency-Key"


class ServiceResponse:
    """A response with an expected status. `where` describes its request."""

    def __init__(self, response: Response, where: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.body
        self._response = response
        self._where = where

    def json(self) -> JSON:
        """Return the body as JSON; raises `ActionError`."""
        try:
            return self._response.json()
        except NotJSON as error:
            raise self._refuse(f"is not JSON: {error}") from None

    def text(self) -> str:
        """Return the body as text; raises `ActionError`."""
        try:
            return self._response.read_text()
        except (Undecodable, UnknownCharset) as error:
            raise self._refuse(f"is not text: {error}") from None

    def _refuse(self, why: str) -> ActionError:
        details: JSON = {"status": self.status, "body": self._response.text()}
        message = f"the response of {self._where} {why}"
        return ActionError(message, error_class="invalid", code="malformed_response", details=details)


class ServiceRequests:
    """Sends the requests of an attempt."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> ServiceResponse:
        """Send a request and return its response; raises `ActionError` if its status is not expected."""
        method = method.upper()
        request = self._make_request(method, url, options)
        is_signed = options.get("is_signed", True)
        send = send_signed if is_signed and self._context.auth else _send_plain
        response = (await send(self._context, request))[0]
        where = describe_request(method, parse_url(request.url))
        if not response.is_success and response.status not in options.get("expect", ()):
            raise explain_refusal(response, where)
        if len(response.body) > LARGE:
            await take_turn()
        return ServiceResponse(response, where)

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")

    def _make_request(self, method: str, url: str, options: RequestOptions) -> OutgoingRequest:
        """Return the request with its key, before its credentials are added; raises `InvalidRequest`."""
        content, described_by = encode_body(options.get("content"), options.get("json", UNSET), options.get("form"))
        headers = {name.decode(): value.decode() for name, value in described_by}
        params, given = options.get("params", {}), options.get("headers", {})
        address = self._find_url(url) if options.get("is_signed", True) else url
        try:
            parse_url(address)
        except MalformedURL as error:
            raise InvalidRequest(f"{method}: the request cannot be made: {error}") from None
        request = OutgoingRequest(method, address, headers, params, content).with_headers(given)
        key_header = options.get("key_header", KEY_HEADER)
        if key_header and method in UNSAFE_METHODS and not has_idempotency_key(given):
            request = request.with_headers({key_header: self._context.next_key()})
        return request

    def _find_url(self, url: str) -> str:
        """Return an absolute URL to which the connection's credentials may be sent; raises `InvalidRequest`."""
        context = self._context
        base_url = getattr(context.connection, "base_url", None) or context.base_url
        if base_url:
            return join_url(base_url, url)
        if not is_absolute(url):
            raise InvalidRequest(find_problem(url) or RELATIVE)
        if context.auth:
            raise InvalidRequest(
                "the connector has no `base_url` to which its credentials may be sent: give its `Connector` a "
                "`base_url`, or its connections a field of this name"
            )
        return url


async def _send_plain(context: Context, request: OutgoingRequest) -> tuple[Response]:
    return (await send_unsigned(context, request),)
