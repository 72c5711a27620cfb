"""The one HTTP client: what every connector sends, it sends through here.

It adds the idempotency key to what changes something, bounds what comes back, and turns every error into an
`ActionError` that says whether the effect certainly did not happen, was answered, or is unknown.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self, TypeAlias

import httpx
from msgspec import UNSET, UnsetType

from connectors import failure
from connectors.answer import Answer
from connectors.egress import Egress
from connectors.inflate import CODINGS, TooLarge, Undecodable, codings, inflate
from connectors.transport import BEFORE_SENDING, Transport
from durable import __version__, values
from durable.action import ActionError, Context
from durable.values import JSON, NotJSON

RESPONSE_LIMIT = 10 * 1024 * 1024
"""Bytes of an answer's body, as it comes and as it is decoded."""

Scalar: TypeAlias = str | int | float | bool | None
Fields: TypeAlias = Mapping[str, Scalar | Sequence[Scalar]]
"""A query's parameters or a form's fields; a sequence repeats its name."""

_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OF_THE_CODED_BODY = frozenset({"content-encoding", "content-length"})
_HEADERS = {"user-agent": f"waypost/{__version__}", "accept": "*/*", "accept-encoding": CODINGS}


class _Body(NamedTuple):
    content: bytes | None
    headers: Mapping[str, str] = {}


class HttpClient:
    """Sends requests and reads their answers; made once, by the composition root, and closed by it.

    `connect_timeout` bounds in seconds the wait for a connection and the making of one. How long an answer may take
    is the step's affair; `read_timeout` bounds the silence in between.
    """

    def __init__(
        self,
        *,
        egress: Egress | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        max_response_bytes: int = RESPONSE_LIMIT,
        connect_timeout: float = 10.0,
        read_timeout: float | None = None,
    ) -> None:
        self._transport = transport or Transport(egress or Egress())
        self._limit = max_response_bytes
        self._timeouts = {"pool": connect_timeout, "connect": connect_timeout, "read": read_timeout}

    async def send(
        self,
        context: Context,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Fields | None = None,
        content: bytes | None = None,
        json: "JSON | UnsetType" = UNSET,
        form: Fields | None = None,
    ) -> Answer:
        """Send one request and return its whole answer, whatever its status; raises `ActionError`.

        The body is `content`, `json` or `form`: the first that is given.
        """
        body = _body(content, json, form)
        request = self._request(context, method.upper(), url, given=headers or {}, params=params, body=body)
        context.ensure_open()
        try:
            response = await self._transport.handle_async_request(request)
            try:
                return await self._answer(response)
            except (TooLarge, Undecodable) as error:
                raise _unreadable(error, response, request) from None
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise failure.of_transport(error, where(request.method, request.url)) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _request(
        self, context: Context, method: str, url: str, *, given: Mapping[str, str], params: Fields | None, body: _Body
    ) -> httpx.Request:
        names = {name.lower() for name in given}
        added = {**_HEADERS, **body.headers}
        if method in _UNSAFE and "idempotency-key" not in names:
            added["idempotency-key"] = context.next_key()
        try:
            target = httpx.URL(url).copy_merge_params(params) if params else httpx.URL(url)
            headers = [*((name, value) for name, value in added.items() if name not in names), *given.items()]
            extensions = {"timeout": self._timeouts, BEFORE_SENDING: context.ensure_open}
            request = httpx.Request(method, target, headers=headers, content=body.content, extensions=extensions)
        except (httpx.InvalidURL, UnicodeError, TypeError) as error:
            raise _invalid(f"{method}: the request cannot be made: {error}") from error
        if target.userinfo:
            raise _invalid(f"{where(method, target)}: the URL holds a user or password; send an Authorization header")
        return request

    async def _answer(self, response: httpx.Response) -> Answer:
        """Read the whole body; raises `TooLarge` or `Undecodable`."""
        headers = response.headers
        encoded = codings(headers["content-encoding"]) if "content-encoding" in headers else []
        body = await self._body(response)
        if encoded:
            body = inflate(body, encoded, self._limit)
            headers = httpx.Headers([pair for pair in headers.multi_items() if pair[0] not in _OF_THE_CODED_BODY])
        return Answer(response.status_code, headers, body)

    async def _body(self, response: httpx.Response) -> bytes:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks: list[bytes] = []
        room = self._limit
        async for chunk in response.stream:
            room -= len(chunk)
            if room < 0:
                raise TooLarge(f"it has more than {self._limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def where(method: str, url: httpx.URL) -> str:
    """A request in an error's words, without path and query, which may hold what is secret."""
    return f"{method} {url.scheme}://{url.netloc.decode()}"


def _body(content: bytes | None, json: "JSON | UnsetType", form: Fields | None) -> _Body:
    if content is not None:
        return _Body(content)
    if json is not UNSET:
        try:
            return _Body(values.encode(json), {"content-type": "application/json"})
        except NotJSON as error:
            raise _invalid(f"the body cannot be sent: {error}") from error
    if form is not None:
        fields = str(httpx.QueryParams(form))
        return _Body(fields.encode(), {"content-type": "application/x-www-form-urlencoded"})
    return _Body(None)


def _invalid(message: str) -> ActionError:
    return ActionError(message, error_class="invalid", code="invalid_request", ending="not_sent")


def _unreadable(error: TooLarge | Undecodable, response: httpx.Response, request: httpx.Request) -> ActionError:
    """The service has answered; only what it said is lost. What its status says decides whether to ask again."""
    answer = Answer(response.status_code, response.headers, b"")
    if not answer.is_success:
        return failure.of_answer(answer, where(request.method, request.url))
    return ActionError(
        f"{where(request.method, request.url)} answered {answer.status} with a body that cannot be read: {error}",
        error_class="invalid",
        code="response_too_large" if isinstance(error, TooLarge) else "undecodable_response",
        details={"status": answer.status},
    )
