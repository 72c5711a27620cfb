"""The one HTTP client: what every connector sends, it sends through here.

It adds the idempotency key to what changes something, bounds what comes back, and turns every error into an
`ActionError` that says whether the effect certainly did not happen, was answered, or is unknown.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import httpx
from msgspec import UNSET, UnsetType

from connectors.wire import errors
from connectors.wire.egress import Egress
from connectors.wire.httpx_transport import HttpxTransport
from connectors.wire.inflate import CODINGS, InflateError, ResponseTooLarge, inflate, parse_codings
from connectors.wire.lenient import MalformedResponse
from connectors.wire.pool import TOTAL_LIMIT, PoolLimits
from connectors.wire.proxy import Proxy
from connectors.wire.request import Header, Request, Timeouts
from connectors.wire.response import Response, merge_headers
from connectors.wire.transport import Transport
from connectors.wire.url import MalformedURL, Params, add_params, encode_params, parse_url
from durable import __version__, values
from durable.action import ActionError, Context
from durable.turns import take_turn
from durable.values import JSON, NotJSON

MANY_CHUNKS = 8
"""Pieces of a body from which to put them together and to inflate them may take milliseconds."""

RESPONSE_LIMIT = 10 * 1024 * 1024
"""Bytes of an answer's body, as it comes and as it is decoded."""

UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OF_THE_CODED_BODY = frozenset({"content-encoding", "content-length"})
_DEFAULT_HEADERS: tuple[Header, ...] = (
    (b"user-agent", f"waypost/{__version__}".encode()),
    (b"accept", b"*/*"),
    (b"accept-encoding", CODINGS.encode()),
)

_JSON: tuple[Header, ...] = ((b"content-type", b"application/json"),)
_FORM: tuple[Header, ...] = ((b"content-type", b"application/x-www-form-urlencoded"),)


class ResponseStream(Protocol):
    """An answer as it arrives: its head, then the pieces of its body."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[Header]: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class _Sender(Protocol):
    """What sends a request, once."""

    async def exchange(self, request: Request) -> ResponseStream: ...

    async def aclose(self) -> None: ...


class _Body(NamedTuple):
    content: bytes = b""
    headers: tuple[Header, ...] = ()


class HttpClient:
    """Sends requests and reads their answers; made once, by the composition root, and closed by it.

    `connect_timeout` bounds in seconds the making of a connection. To wait for one of the `connections` has no bound of
    its own: meanwhile the attempt's timeout stands still. How long an answer may take is the step's affair;
    `read_timeout` bounds the silence in between.
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
        self._sender = _choose_sender(
            transport or Transport(egress or Egress(), limits=PoolLimits(total=connections), proxy=proxy)
        )
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
    ) -> Response:
        """Send one request and return its whole answer, whatever its status; raises `ActionError`.

        The body is `content`, `json` or `form`: the first that is given.
        """
        request = self._make_request(
            context, method.upper(), url, headers or {}, params, _encode_body(content, json, form)
        )
        context.ensure_open()
        try:
            exchange = await self._sender.exchange(request)
            try:
                return await self._read_response(exchange, context)
            except (ResponseTooLarge, InflateError, MalformedResponse) as error:
                raise _explain_unreadable(error, exchange, request) from None
            except httpx.TransportError as error:
                if exchange.status < 300:
                    at = f"{where(request.method, request.url)} answered {exchange.status}"
                    raise errors.explain_transport_error(error, at) from error
                raise _explain_unreadable(error, exchange, request) from None
            finally:
                await exchange.aclose()
        except MalformedResponse as error:
            raise _explain_malformed(error, request) from None
        except httpx.TransportError as error:
            raise errors.explain_transport_error(error, where(request.method, request.url)) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._sender.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _make_request(
        self, context: Context, method: str, url: str, given: Mapping[str, str], params: Params | None, body: _Body
    ) -> Request:
        key = context.next_key() if method in UNSAFE_METHODS and not has_idempotency_key(given) else None
        try:
            target = parse_url(add_params(url, params) if params else url)
        except (MalformedURL, UnicodeError, TypeError) as error:
            raise invalid(f"{method}: the request cannot be made: {error}") from None
        headers = _build_headers(target, given, key, body)
        return Request(method, target, headers, body.content, self._timeouts, context.ensure_open, context.waiting)

    async def _read_response(self, exchange: ResponseStream, context: Context) -> Response:
        """Read the whole body; raises `ResponseTooLarge` or `InflateError`."""
        headers, repeated = merge_headers(exchange.headers)
        encoded = parse_codings(headers["content-encoding"]) if "content-encoding" in headers else []
        chunks = await self._read_chunks(exchange)
        if len(chunks) > MANY_CHUNKS:
            with context.waiting("its turn to read the answer"):
                await take_turn()
        body = b"".join(chunks)
        if encoded:
            body = inflate(body, encoded, self._limit)
            headers = {name: value for name, value in headers.items() if name not in _OF_THE_CODED_BODY}
        return Response(exchange.status, headers, body, repeated)

    async def _read_chunks(self, exchange: ResponseStream) -> list[bytes]:
        chunks: list[bytes] = []
        room = self._limit
        async for chunk in exchange:
            room -= len(chunk)
            if room < 0:
                raise ResponseTooLarge(f"it has more than {self._limit:,} bytes")
            chunks.append(chunk)
        return chunks


def where(method: str, url: httpx.URL) -> str:
    """A request in an error's words, without path and query, which may hold what is secret."""
    return f"{method} {url.scheme}://{url.netloc.decode()}"


def _choose_sender(transport: httpx.AsyncBaseTransport) -> _Sender:
    return transport if isinstance(transport, Transport) else HttpxTransport(transport)


def has_idempotency_key(given: Mapping[str, str]) -> bool:
    return any(name.lower() == "idempotency-key" for name in given)


def _build_headers(url: httpx.URL, given: Mapping[str, str], key: str | None, body: _Body) -> list[Header]:
    """What is given replaces what is added."""
    added = [(b"Host", url.netloc), *_DEFAULT_HEADERS, *body.headers]
    if key is not None:
        added.append((b"idempotency-key", key.encode("ascii")))
    if not given:
        return added
    own = {name.lower().encode(errors="replace") for name in given}
    if len(own) < len(given):
        raise invalid("a header is given twice, in two spellings of its name; remove one")
    try:
        fields = [(name.encode(), value.encode()) for name, value in given.items()]
    except UnicodeEncodeError:
        raise invalid("a header contains a lone surrogate, which is not a character") from None
    return [*(field for field in added if field[0].lower() not in own), *fields]


def _encode_body(content: bytes | None, json: "JSON | UnsetType", form: Params | None) -> _Body:
    if content is not None:
        return _Body(content)
    if json is not UNSET:
        try:
            return _Body(values.encode(json), _JSON)
        except NotJSON as error:
            raise invalid(f"the body cannot be sent: {error}") from error
    if form is not None:
        try:
            return _Body(encode_params(form).encode(), _FORM)
        except (UnicodeError, TypeError) as error:
            raise invalid(f"the form cannot be sent: {error}") from None
    return _Body()


def invalid(message: str) -> ActionError:
    """A request that cannot be made; nothing was sent."""
    return ActionError(message, error_class="invalid", code="invalid_request", ending="not_sent")


def _explain_unreadable(error: Exception, exchange: ResponseStream, request: Request) -> ActionError:
    """The service has answered; only what it said is lost. What its status says decides whether to ask again."""
    headers, repeated = merge_headers(exchange.headers)
    answer = Response(exchange.status, headers, b"", repeated)
    at = where(request.method, request.url)
    if not answer.is_success:
        return errors.explain_refusal(answer, at, f"its body cannot be read: {error}")
    match error:
        case ResponseTooLarge():
            code = "response_too_large"
        case InflateError():
            code = "undecodable_response"
        case _:
            code = "malformed_response"
    return ActionError(
        f"{at} answered {answer.status} with a body that cannot be read: {error}",
        error_class="invalid",
        code=code,
        details={"status": answer.status},
    )


def _explain_malformed(error: MalformedResponse, request: Request) -> ActionError:
    """The service has answered, so the request is not repeated, unless the status asks for that."""
    at = where(request.method, request.url)
    if error.status is not None and error.status >= 300:
        return errors.explain_refusal(Response(error.status, {}, b""), at, str(error))
    return ActionError(
        f"{at}: {error}", error_class="invalid", code="malformed_response", details={"status": error.status}
    )
