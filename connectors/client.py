"""The one HTTP client: what every connector sends, it sends through here.

It adds the idempotency key to what changes something, bounds what comes back, and turns every error into an
`ActionError` that says whether the effect certainly did not happen, was answered, or is unknown.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import httpx
from msgspec import UNSET, UnsetType

from connectors import failure
from connectors.answer import Answer, merge_headers
from connectors.borrowed import BorrowedTransport
from connectors.egress import Egress
from connectors.inflate import CODINGS, TooLarge, Undecodable, codings, inflate
from connectors.lenient import MalformedAnswer
from connectors.pool import TOTAL_LIMIT, Limits
from connectors.proxy import Proxy
from connectors.request import Header, Request, Timeouts
from connectors.transport import Transport
from connectors.url import MalformedURL, Params, add_params, encode_params, parse_url
from durable import __version__, values
from durable.action import ActionError, Context
from durable.turns import take_turn
from durable.values import JSON, NotJSON

MANY_CHUNKS = 8
"""Pieces of a body from which to put them together and to inflate them may take milliseconds."""

RESPONSE_LIMIT = 10 * 1024 * 1024
"""Bytes of an answer's body, as it comes and as it is decoded."""

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OF_THE_CODED_BODY = frozenset({"content-encoding", "content-length"})
_HEADERS: tuple[Header, ...] = (
    (b"user-agent", f"waypost/{__version__}".encode()),
    (b"accept", b"*/*"),
    (b"accept-encoding", CODINGS.encode()),
)

_JSON: tuple[Header, ...] = ((b"content-type", b"application/json"),)
_FORM: tuple[Header, ...] = ((b"content-type", b"application/x-www-form-urlencoded"),)


class Exchange(Protocol):
    """An answer as it arrives: its head, then the pieces of its body."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[Header]: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class _Door(Protocol):
    """What sends a request, once."""

    async def exchange(self, request: Request) -> Exchange: ...

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
        self._door = _door(transport or Transport(egress or Egress(), limits=Limits(total=connections), proxy=proxy))
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
    ) -> Answer:
        """Send one request and return its whole answer, whatever its status; raises `ActionError`.

        The body is `content`, `json` or `form`: the first that is given.
        """
        request = self._request(context, method.upper(), url, headers or {}, params, _body(content, json, form))
        context.ensure_open()
        try:
            exchange = await self._door.exchange(request)
            try:
                return await self._answer(exchange, context)
            except (TooLarge, Undecodable, MalformedAnswer) as error:
                raise _explain_unreadable(error, exchange, request) from None
            except httpx.TransportError as error:
                if exchange.status < 300:
                    at = f"{where(request.method, request.url)} answered {exchange.status}"
                    raise failure.of_transport(error, at) from error
                raise _explain_unreadable(error, exchange, request) from None
            finally:
                await exchange.aclose()
        except MalformedAnswer as error:
            raise _explain_malformed(error, request) from None
        except httpx.TransportError as error:
            raise failure.of_transport(error, where(request.method, request.url)) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._door.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _request(
        self, context: Context, method: str, url: str, given: Mapping[str, str], params: Params | None, body: _Body
    ) -> Request:
        key = context.next_key() if method in UNSAFE and not names_a_key(given) else None
        try:
            target = parse_url(add_params(url, params) if params else url)
        except (MalformedURL, UnicodeError, TypeError) as error:
            raise invalid(f"{method}: the request cannot be made: {error}") from None
        headers = _headers(target, given, key, body)
        return Request(method, target, headers, body.content, self._timeouts, context.ensure_open, context.waiting)

    async def _answer(self, exchange: Exchange, context: Context) -> Answer:
        """Read the whole body; raises `TooLarge` or `Undecodable`."""
        headers, repeated = merge_headers(exchange.headers)
        encoded = codings(headers["content-encoding"]) if "content-encoding" in headers else []
        chunks = await self._chunks(exchange)
        if len(chunks) > MANY_CHUNKS:
            with context.waiting("its turn to read the answer"):
                await take_turn()
        body = b"".join(chunks)
        if encoded:
            body = inflate(body, encoded, self._limit)
            headers = {name: value for name, value in headers.items() if name not in _OF_THE_CODED_BODY}
        return Answer(exchange.status, headers, body, repeated)

    async def _chunks(self, exchange: Exchange) -> list[bytes]:
        chunks: list[bytes] = []
        room = self._limit
        async for chunk in exchange:
            room -= len(chunk)
            if room < 0:
                raise TooLarge(f"it has more than {self._limit:,} bytes")
            chunks.append(chunk)
        return chunks


def where(method: str, url: httpx.URL) -> str:
    """A request in an error's words, without path and query, which may hold what is secret."""
    return f"{method} {url.scheme}://{url.netloc.decode()}"


def _door(transport: httpx.AsyncBaseTransport) -> _Door:
    return transport if isinstance(transport, Transport) else BorrowedTransport(transport)


def names_a_key(given: Mapping[str, str]) -> bool:
    return any(name.lower() == "idempotency-key" for name in given)


def _headers(url: httpx.URL, given: Mapping[str, str], key: str | None, body: _Body) -> list[Header]:
    """What is given replaces what is added."""
    added = [(b"Host", url.netloc), *_HEADERS, *body.headers]
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


def _body(content: bytes | None, json: "JSON | UnsetType", form: Params | None) -> _Body:
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


def _explain_unreadable(error: Exception, exchange: Exchange, request: Request) -> ActionError:
    """The service has answered; only what it said is lost. What its status says decides whether to ask again."""
    headers, repeated = merge_headers(exchange.headers)
    answer = Answer(exchange.status, headers, b"", repeated)
    at = where(request.method, request.url)
    if not answer.is_success:
        return failure.of_answer(answer, at, f"its body cannot be read: {error}")
    match error:
        case TooLarge():
            code = "response_too_large"
        case Undecodable():
            code = "undecodable_response"
        case _:
            code = "malformed_response"
    return ActionError(
        f"{at} answered {answer.status} with a body that cannot be read: {error}",
        error_class="invalid",
        code=code,
        details={"status": answer.status},
    )


def _explain_malformed(error: MalformedAnswer, request: Request) -> ActionError:
    """The service has answered, so the request is not repeated, unless the status asks for that."""
    at = where(request.method, request.url)
    if error.status is not None and error.status >= 300:
        return failure.of_answer(Answer(error.status, {}, b""), at, str(error))
    return ActionError(
        f"{at}: {error}", error_class="invalid", code="malformed_response", details={"status": error.status}
    )
