"""The HTTP of MCP sessions, sent by Waypost's own client: through the egress guard and the proxy, signed by the
connection, with bounded responses.

The library's transport ends the whole session if a request raises, and drops the status of a refusal. So a failed
request is answered here by an error of JSON-RPC that refers to the `ActionError`.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import httpx2
import msgspec

from connectors.auth.request import OutgoingRequest
from connectors.auth.send import UNAUTHORIZED
from connectors.auth.sign import can_replace, replace_refused, sign_request
from connectors.wire.client import HttpClient, OpenResponse, ResponseStream
from connectors.wire.errors import describe_request, explain_refusal
from connectors.wire.response import Response
from durable.action import ActionError, Context
from durable.trace import HEADER

FAILURE = "waypost_failure"
"""The key in the data of an error of JSON-RPC that holds the number of an `ActionError`."""

_ERROR_CODE = -32_099  # of those that JSON-RPC leaves to implementations; the library reads no meaning into it
_SESSION = "mcp-session-id"
_EXPLAINED = frozenset({401, 403, 407, 408, 421, 423, 425, 429})
"""Statuses below 500 of which the library would keep nothing. Others may belong to the negotiation of versions."""

_OWN_HEADERS = frozenset({"accept-encoding", "connection", "content-length", "host", "user-agent"})


class _Meta(msgspec.Struct):
    traceparent: str | None = None


class _Params(msgspec.Struct):
    meta: _Meta | None = msgspec.field(name="_meta", default=None)


class _RequestMessage(msgspec.Struct):
    """The parts of a JSON-RPC message that are read here; only requests have an id."""

    id: int | str | None = None
    params: _Params | None = None

    @property
    def traceparent(self) -> str | None:
        """The span of the call, which is sent as a header, too, for proxies and servers that read no messages."""
        return self.params.meta.traceparent if self.params and self.params.meta else None


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of one session. `context` has the connection; `headers` are added to every request; `on_gone`
    is called when the server has forgotten the session."""

    def __init__(self, context: Context, headers: Mapping[str, str], on_gone: Callable[[], None]) -> None:
        self._context = context
        self._headers = headers
        self._on_gone = on_gone
        self._failures: dict[int, ActionError] = {}
        self._numbers = itertools.count()

    def take_failure(self, data: Any) -> ActionError | None:
        """Return the error that the data of an error of JSON-RPC refers to."""
        number = data.get(FAILURE) if isinstance(data, dict) else None
        return self._failures.pop(number, None) if isinstance(number, int) else None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        content = await request.aread()
        try:
            return await self._send(request, content)
        except ActionError as error:
            return self._answer_failure(error, content)

    async def _send(self, request: httpx2.Request, content: bytes) -> httpx2.Response:
        kept = {name: value for name, value in request.headers.items() if name not in _OWN_HEADERS}
        headers = {**kept, "accept-encoding": "identity"}
        if span := _read_message(content).traceparent:
            headers[HEADER] = span
        outgoing = OutgoingRequest(request.method, str(request.url), headers, content=content)
        outgoing = outgoing.with_headers(self._headers)
        signed = (await sign_request(self._context, outgoing)).settle_url()
        opened = await self._open(signed)
        if opened.stream.status == UNAUTHORIZED and can_replace(self._context):
            refused = await opened.read(opened.stream)
            if not await replace_refused(self._context, signed):
                raise explain_refusal(refused, describe_request(signed.method, signed.parse_url()))
            signed = (await sign_request(self._context, outgoing)).settle_url()
            opened = await self._open(signed)
        stream = opened.stream
        if stream.status < 300 and _is_event_stream(stream):
            return httpx2.Response(stream.status, headers=list(stream.headers), stream=_EventStream(stream))
        response = await opened.read(stream)
        self._check(request, response, describe_request(signed.method, signed.parse_url()))
        return httpx2.Response(response.status, headers=dict(response.headers), content=response.body)

    async def _open(self, request: OutgoingRequest) -> OpenResponse:
        return await self._context.resource(HttpClient).open(
            self._context,
            request.method,
            request.url,
            headers=request.headers,
            content=request.content or b"",
            certificate=request.certificate,
        )

    def _check(self, request: httpx2.Request, response: Response, where: str) -> None:
        """Raise `ActionError` for a refusal that the library would not report."""
        if response.status == 404 and _SESSION in request.headers:
            self._on_gone()
            message = f"{where}: the server has ended the session"
            raise ActionError(message, error_class="network", code="session_ended", ending="not_sent")
        if response.status in _EXPLAINED or response.status >= 500:
            raise explain_refusal(response, where)

    def _answer_failure(self, error: ActionError, content: bytes) -> httpx2.Response:
        message = _read_message(content)
        if message.id is None:
            return httpx2.Response(405)  # for what is not a request of JSON-RPC, a refusal that the library ignores
        number = next(self._numbers)
        self._failures[number] = error
        described = {"code": _ERROR_CODE, "message": error.message, "data": {FAILURE: number}}
        return httpx2.Response(502, json={"jsonrpc": "2.0", "id": message.id, "error": described})


class _EventStream(httpx2.AsyncByteStream):
    """The body of a response that is a stream of events."""

    def __init__(self, stream: ResponseStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._stream.read():
                yield piece
        except httpx.TransportError as error:
            raise httpx2.ReadError(str(error)) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def _read_message(content: bytes) -> _RequestMessage:
    try:
        return msgspec.json.decode(content, type=_RequestMessage) if content else _RequestMessage()
    except msgspec.DecodeError:
        return _RequestMessage()


def _is_event_stream(stream: ResponseStream) -> bool:
    types = [value for name, value in stream.headers if name.lower() == b"content-type"]
    return bool(types) and types[0].partition(b";")[0].strip().lower() == b"text/event-stream"
