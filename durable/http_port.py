"""The interface of `Context.http`: requests to the service that a step's connection belongs to."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeAlias, TypedDict, Unpack

from durable.values import JSON

QueryValue: TypeAlias = str | int | float | bool | None


class RequestOptions(TypedDict, total=False):
    """The options of a request.

    `params`: the query; a list repeats its name.
    `headers`: by name.
    `json`, `form`, `content`: the body, as one of them.
    `expect`: statuses beside 2xx that are no errors.
    `key_header`: the header with the idempotency key of a request that changes something, `Idempotency-Key` by default;
    None to send none.
    `is_signed`: False to send the request without the connection's credentials. Its URL can then lead anywhere.
    """

    params: Mapping[str, QueryValue | Sequence[QueryValue]]
    headers: Mapping[str, str]
    json: JSON
    form: Mapping[str, QueryValue | Sequence[QueryValue]]
    content: bytes
    expect: Collection[int]
    key_header: str | None
    is_signed: bool


class HttpResponse(Protocol):
    """A response with an expected status. `headers` are by lower-case name."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...

    def json(self) -> JSON:
        """Return the body as JSON. Raises an `ActionError` that is not retried: the service has done what was asked."""
        ...

    def text(self) -> str:
        """Return the body as text. Raises `ActionError`, as `json` does."""
        ...


class HttpRequests(Protocol):
    """Sends requests to the service, through everything that applies to requests of a step: credentials, limits of the
    connection, the egress guard, the limit of a response's size, redaction.

    A URL is relative to the service's `base_url`: the field of the connection, or what the connector says. Without a
    connection it is absolute. A status other than 2xx and redirects raise an `ActionError`, whose class says whether to
    try again (`auth`, `rate_limit`, `server`, `client` …).
    """

    async def get(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse: ...

    async def post(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse: ...

    async def put(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse: ...

    async def patch(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse: ...

    async def delete(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse: ...

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> HttpResponse: ...
