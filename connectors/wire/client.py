"""The HTTP client, through which every connector sends its requests.

It adds the idempotency key to requests that change something, limits the size of responses, and converts every error to
an `ActionError` that says whether the effect did not happen, was answered, or is unknown.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, Self

import httpx
from msgspec import UNSET, UnsetType

from connectors.wire import errors
from connectors.wire.certificate import CertificateRefused, ClientCertificate
from connectors.wire.egress import Egress
from connectors.wire.errors import InvalidRequest, describe_request
from connectors.wire.httpx_transport import HttpxTransport
from connectors.wire.inflate import CODINGS, InflateError, ResponseTooLarge, inflate, parse_codings
from connectors.wire.pool import TOTAL_LIMIT, PoolLimits
from connectors.wire.proxy import Proxy
from connectors.wire.request import Header, Request, Timeouts
from connectors.wire.response import Response, merge_headers
from connectors.wire.transport import Transport
from connectors.wire.url import MalformedURL, Params, add_params, encode_params, parse_url
from durable import __version__, values
from durable.action import Context
from durable.trace import make_traceparent
from durable.turns import take_turn
from durable.values import JSON, NotJSON

LARGE = 256 * 1024
"""The size, in bytes, from which inflating or reading a body takes milliseconds."""

RESPONSE_LIMIT = 10 * 1024 * 1024
"""The maximum size, in bytes, of a response's body, before and after decoding."""

UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_CODED_BODY_HEADERS = frozenset({"content-encoding", "content-length"})
_DEFAULT_HEADERS: tuple[Header, ...] = (
    (b"user-agent", f"waypost/{__version__}".encode()),
    (b"accept", b"*/*"),
    (b"accept-encoding", CODINGS.encode()),
)
_JSON: tuple[Header, ...] = ((b"content-type", b"application/json"),)
_FORM: tuple[Header, ...] = ((b"content-type", b"application/x-www-form-urlencoded"),)


class ResponseStream(Protocol):
    """A response as it arrives: its head, then pieces of its body. An empty piece is the end."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[Header]: ...

    async def read(self) -> bytes: ...

    async def aclose(self) -> None: ...


class OpenResponse(NamedTuple):
    """A response whose body is not read yet. `read` returns it with its complete body and closes it; raises
    `ActionError`."""

    stream: ResponseStream
    read: Callable[[ResponseStream], Awaitable[Response]]


class _Sender(Protocol):
    """Sends a request, once."""

    async def exchange(self, request: Request) -> ResponseStream: ...

    async def aclose(self) -> None: ...


class HttpClient:
    """Sends requests and reads their responses. The composition root creates one and closes it.

    `connect_timeout`: limits the time to make a connection, in seconds.
    `read_timeout`: limits the time without data, in seconds. The step's timeout limits the whole response.
    `connections`: limits the number of connections. The wait for one is not limited, and suspends the attempt's
    timeout.
    """

    def __init__(
        self,
        *,
        egress: Egress | None = None,
        proxy: Proxy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        connections: int = TOTAL_LIMIT,
        max_response_bytes: int = RESPONSE_LIMIT,
        connect_timeout: float = 10.0,
        read_timeout: float | None = None,
    ) -> None:
        self._make_transport: Callable[..., Transport] | None = None
        if transport is None:
            limits = PoolLimits(total=connections)
            self._make_transport = partial(Transport, egress or Egress(), limits=limits, proxy=proxy)
            transport = self._make_transport()
        self._sender: _Sender = transport if isinstance(transport, Transport) else HttpxTransport(transport)
        self._certified: dict[ClientCertificate, Transport] = {}
        self._limit = max_response_bytes
        self._timeouts = Timeouts(connect=connect_timeout, read=read_timeout)

    async def send(
        self,
        context: Context,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params | None = None,
        content: bytes | None = None,
        json: "JSON | UnsetType" = UNSET,
        form: Params | None = None,
        has_key: bool = True,
        has_passed: bool = False,
        certificate: ClientCertificate | None = None,
    ) -> Response:
        """Send one request and return its complete response, whatever its status; raises `ActionError`.

        The body is the first of `content`, `json` and `form` that is given. `has_key`: a request that changes something
        gets the header `Idempotency-Key`, unless it has one. `has_passed`: it has passed the attempt's gate.
        `certificate`: that of the connection on which the request is sent.
        """
        body, described_by = encode_body(content, json, form)
        request = self._make_request(context, method.upper(), url, params, headers or {}, body, described_by, has_key)
        if context.gate is not None and not has_passed:
            await context.gate.pass_request(context)
        return await self._read(context, request, await self._exchange(request, certificate))

    async def open(
        self,
        context: Context,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        certificate: ClientCertificate | None = None,
    ) -> OpenResponse:
        """Send one request and return its response as it arrives, whatever its status; raises `ActionError`. The caller
        has passed the connection's gate, and reads or closes the response."""
        request = self._make_request(context, method.upper(), url, None, headers, content, (), False)
        return OpenResponse(await self._exchange(request, certificate), partial(self._read, context, request))

    async def _exchange(self, request: Request, certificate: ClientCertificate | None) -> ResponseStream:
        sender = self._sender if certificate is None else self._find_sender(certificate)
        try:
            return await sender.exchange(request)
        except httpx.TransportError as error:
            caught = errors.explain_transport_error(error, describe_request(request.method, request.url))
            if certificate is not None and caught.code == "answer_lost":  # a refusal in TLS 1.3 looks like that
                raise errors.append_doubt(caught, "the service may have refused the client certificate") from error
            raise caught from error

    async def _read(self, context: Context, request: Request, stream: ResponseStream) -> Response:
        """Read the complete response, and close it."""
        try:
            return await self._read_response(stream, context)
        except (ResponseTooLarge, InflateError, httpx.TransportError) as error:
            merged, repeated = merge_headers(stream.headers)
            head = Response(stream.status, merged, b"", repeated)
            raise errors.explain_unreadable(error, head, describe_request(request.method, request.url)) from error
        finally:
            await stream.aclose()

    async def close(self) -> None:
        """Close every connection."""
        await self._sender.aclose()
        for transport in self._certified.values():
            await transport.aclose()

    def _find_sender(self, certificate: ClientCertificate) -> _Sender:
        """Return what sends requests with a client certificate: a transport of its own, because connections with
        different certificates must not be shared. Raises `InvalidRequest`."""
        if self._make_transport is None:
            return self._sender
        if certificate not in self._certified:
            try:
                tls = certificate.make_context()
            except CertificateRefused as refused:
                raise InvalidRequest(f"the client certificate cannot be used: {refused}") from None
            self._certified[certificate] = self._make_transport(tls=tls)
        return self._certified[certificate]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _make_request(
        self,
        context: Context,
        method: str,
        url: str,
        params: Params | None,
        given: Mapping[str, str],
        body: bytes,
        described_by: tuple[Header, ...],
        has_key: bool,
    ) -> Request:
        context.ensure_open()
        try:
            target = parse_url(add_params(url, params) if params else url)
        except (MalformedURL, UnicodeError, TypeError) as error:
            raise InvalidRequest(f"{method}: the request cannot be made: {error}") from None
        headers: list[Header] = [(b"Host", target.host), *_DEFAULT_HEADERS, *described_by]
        if context.run:
            place = context.key, context.path, context.attempt
            span = make_traceparent(context.run, *place, context.traceparent)
            headers.append((b"traceparent", span.encode("ascii")))
        if has_key and method in UNSAFE_METHODS and not (given and has_idempotency_key(given)):
            headers.append((b"idempotency-key", context.next_key().encode("ascii")))
        if given:
            headers = _replace_headers(headers, given)
        begin = context.ensure_open if context.gate is None else context.begin_sending
        return Request(method, target, headers, body, self._timeouts, begin, context.waiting)

    async def _read_response(self, stream: ResponseStream, context: Context) -> Response:
        """Read the complete body; raises `ResponseTooLarge` or `InflateError`."""
        headers, repeated = merge_headers(stream.headers)
        pieces: list[bytes] = []
        room = self._limit
        while piece := await stream.read():
            room -= len(piece)
            if room < 0:
                raise ResponseTooLarge(f"it has more than {self._limit:,} bytes")
            pieces.append(piece)
        if self._limit - room > LARGE:
            with context.waiting("its turn to read the answer"):
                await take_turn()
        body = b"".join(pieces)
        if "content-encoding" in headers and (codings := parse_codings(headers["content-encoding"])):
            body = inflate(body, codings, self._limit)
            headers = {name: value for name, value in headers.items() if name not in _CODED_BODY_HEADERS}
        return Response(stream.status, headers, body, repeated)


def has_idempotency_key(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "idempotency-key" for name in headers)


def _replace_headers(headers: Sequence[Header], given: Mapping[str, str]) -> list[Header]:
    """Return the headers, with those of the same names replaced by `given`."""
    names = {name.lower().encode(errors="replace") for name in given}
    if len(names) < len(given):
        raise InvalidRequest("a header is set twice, with different capitalisation; remove one")
    try:
        fields = [(name.encode(), value.encode()) for name, value in given.items()]
    except UnicodeEncodeError:
        raise InvalidRequest("a header contains a lone surrogate, which is not a character") from None
    return [field for field in headers if field[0].lower() not in names] + fields


def encode_body(
    content: bytes | None, json: "JSON | UnsetType", form: Params | None
) -> tuple[bytes, tuple[Header, ...]]:
    """Return the body, and the headers that describe it."""
    if content is not None:
        return content, ()
    if json is not UNSET:
        try:
            return values.encode(json), _JSON
        except NotJSON as error:
            raise InvalidRequest(f"the body cannot be sent: {error}") from error
    if form is not None:
        try:
            return encode_params(form).encode(), _FORM
        except (UnicodeError, TypeError) as error:
            raise InvalidRequest(f"the form cannot be sent: {error}") from None
    return b"", ()
