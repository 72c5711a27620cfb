"""HTTP requests: `http.get`, `post`, `put`, `patch`, `delete`, and `request` for any method.

A status of 2xx is a success, as is any status in `expect`, and 304 after a conditional GET. A redirect is followed if
`redirects` allows it, and otherwise fails the step. A body that is declared as JSON but is not valid remains text: the
effect has happened, and a failure to read the response must not repeat it. Every request that changes something carries
the step's idempotency key as `Idempotency-Key`, so it can be repeated after a crash. If a service ignores that key and
a second effect would do harm, use `on_crash: park`.

With a connection, a step's URL is joined to the connection's `base_url`. The connection's headers, params and the
credentials of its `auth` are sent only there.
"""

from functools import partial
from typing import Annotated, Any, Literal, Self, TypeAlias

import httpx
from msgspec import UNSET, UnsetType
from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator, model_validator

from connectors.auth.request import OutgoingRequest
from connectors.auth.send import send_signed
from connectors.wire.body import BodyEncoding, read_body
from connectors.wire.client import LARGE, UNSAFE_METHODS, HttpClient, encode_body, has_idempotency_key
from connectors.wire.errors import InvalidRequest, describe_request, explain_refusal
from connectors.wire.join import is_absolute, join_url
from connectors.wire.redirect import (
    READ_METHODS,
    Hop,
    RedirectPolicy,
    follow_redirects,
    is_redirect,
)
from connectors.wire.request import find_header_problem
from connectors.wire.response import Response
from connectors.wire.url import RELATIVE, Params, add_params, ensure_written, find_problem, parse_url
from durable.action import URL, Action, Connector, Context, Idempotent, Inputs, LiteralError, Secret, action
from durable.known_values import is_template
from durable.turns import take_turn
from durable.values import JSON

Parameter: TypeAlias = Secret | int | float | bool | None
Status: TypeAlias = Annotated[int, Field(ge=200, le=999)]

_CONDITIONAL = frozenset({"if-none-match", "if-modified-since"})


def _check_headers(headers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    """Check headers when a file is loaded; in an attempt, the client checks them before it sends."""
    if info.context is None:
        return headers
    for name, value in headers.items():
        if problem := find_header_problem(name, value):
            raise LiteralError(problem)
    if len({name.lower() for name in headers}) < len(headers):
        raise LiteralError("a header is set twice, with different capitalisation; remove one")
    return headers


Headers: TypeAlias = Annotated[dict[str, Secret], AfterValidator(_check_headers)]


class HttpConnection(Inputs):
    """The base URL of a service, and the headers and parameters of every request to it."""

    base_url: URL = Field(description="An http or https URL; a step's `url`, such as /holds, is appended to it")
    headers: Headers = Field(
        default_factory=dict, description="Request headers by name, sent in UTF-8; those of a step take precedence"
    )
    params: dict[str, Parameter | list[Parameter]] = Field(
        default_factory=dict, description="Query parameters to add to every URL; those of a step take precedence"
    )

    @field_validator("base_url")
    @classmethod
    def check_base_url(cls, base_url: str, info: ValidationInfo) -> str:
        if info.context is not None and is_template(base_url):
            ensure_written(base_url, is_alone=False)
        else:
            parse_url(base_url)
        if "?" in base_url or "#" in base_url:
            raise ValueError("it contains more than an address; put credentials under auth")
        return base_url

    @field_validator("headers")
    @classmethod
    def check_no_key(cls, headers: dict[str, str]) -> dict[str, str]:
        if "idempotency-key" in map(str.lower, headers):
            raise ValueError("each request has an Idempotency-Key of its own; remove it")
        return headers

    def apply_to(self, target: "Target") -> "Target":
        """Return the target with the connection's URL, headers and params; raises `ActionError` if it is outside of
        `base_url`."""
        url = join_url(self.base_url, target.url)
        own, written = {name.lower() for name in target.headers}, httpx.URL(url).params
        if "host" in own:
            raise InvalidRequest(
                "a step with a connection sends no Host of its own: the connection's credentials would go there"
            )
        headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
        params = {name: value for name, value in self.params.items() if name not in written}
        changes = {"url": url, "headers": headers | target.headers, "params": params | target.params}
        return target.model_copy(update=changes)


class Target(Inputs):
    """Where the request goes, and which statuses count as success."""

    url: URL = Field(
        description="An absolute http or https URL without user and password; with a connection, the part after its "
        "`base_url`"
    )
    params: dict[str, Parameter | list[Parameter]] = Field(
        default_factory=dict, description="Query parameters to add to the URL; a list repeats its name"
    )
    headers: Headers = Field(default_factory=dict, description="Request headers by name, sent in UTF-8")
    expect: list[Status] | None = Field(
        default=None, min_length=1, description="The statuses that count as success; default: all 2xx"
    )
    redirects: RedirectPolicy = Field(
        default="refuse",
        description="How redirects are handled: `refuse` fails the step; `same_origin` follows it on the same scheme, "
        "host "
        "and port (a request other than GET and HEAD only after 307 and 308); `without_credentials`, for a GET only, "
        "follows it to any host, with no headers except Accept, Accept-Language, Range and User-Agent",
    )

    @field_validator("url")
    @classmethod
    def check_url(cls, url: str, info: ValidationInfo) -> str:
        """Check a URL when a file is loaded; the client checks URLs made by expressions before it sends."""
        if info.context is not None:
            ensure_written(url, is_alone=info.context.get("connection", "") is None)
        return url


class BodyRequest(Target):
    """A request that may have a body, given as one of `json`, `form` and `body`."""

    redirects: Literal["refuse", "same_origin"] = Field(
        default="refuse",
        description="How redirects are handled: `refuse` fails the step; `same_origin` follows 307 and 308 on the same "
        "scheme, host and port",
    )
    payload: Any = Field(default=None, alias="json", description="A body to send as JSON")
    form: dict[str, Parameter | list[Parameter]] | None = Field(
        default=None, description="A body to send as a form (application/x-www-form-urlencoded)"
    )
    body: Secret | None = Field(
        default=None, description="A body to send as it is, in UTF-8; set the content-type header yourself"
    )

    @model_validator(mode="after")
    def check_one_body(self) -> Self:
        if len({"payload", "form", "body"} & self.model_fields_set) > 1:
            raise ValueError("a request has one body; set only one of json, form and body")
        return self


class AnyRequest(BodyRequest):
    """A request with any method and an optional body, given as one of `json`, `form` and `body`."""

    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = Field(description="The HTTP method")
    redirects: RedirectPolicy = Field(  # type: ignore[assignment]  # wider than the base, because the method may be GET
        default="refuse", description=Target.model_fields["redirects"].description
    )

    @model_validator(mode="after")
    def check_redirects(self) -> Self:
        has_body = bool({"payload", "form", "body"} & self.model_fields_set)  # which may contain a credential
        if self.redirects == "without_credentials" and (self.method != "GET" or has_body):
            raise ValueError(
                "'redirects: without_credentials' is only for GET requests without a body; write same_origin or refuse"
            )
        return self


class HttpOutput(BaseModel):
    """The response. `body_encoding` says how `body` represents it: binary data is base64."""

    status: int = Field(description="The HTTP status")
    headers: dict[str, str | list[str]] = Field(
        description="Headers by lower-case name; a header that was sent several times is a list, and `set-cookie` "
        "always is"
    )
    body: Any = Field(description="The body: JSON of up to 200,000 values, text, or base64; null if it is empty")
    body_encoding: BodyEncoding = Field(description="How `body` represents the response body")


def find_origin(input: Target, connection: BaseModel | None) -> str:
    """Return the address that the request goes to, which is shown while an attempt waits for a connection. Raises for
    an invalid URL."""
    url = connection.base_url if isinstance(connection, HttpConnection) else input.url
    return parse_url(url).origin.address


async def _perform(method: str, context: Context, input: Target) -> HttpOutput:
    target = _resolve_target(method, context, input)
    response = await _send(method, context, target)
    if not _is_expected(response, method, target):
        response, url = await _follow_redirects(context, method, target, response)
        if not _is_expected(response, method, target):
            raise explain_refusal(response, describe_request(method, parse_url(url)))
    context.stop_timeout()
    if len(response.body) <= LARGE:
        return _make_output(context, response)
    await take_turn()
    output = _make_output(context, response)
    await take_turn()
    return output


def _make_action(method: str, summary: str, input: type[Target]) -> Action:
    perform = partial(_perform, method)
    idempotent: Idempotent = "yes" if method in {"GET", "PUT", "DELETE"} else "key"
    return Action(
        method.lower(), perform, input, HttpOutput, summary=summary, target=find_origin, idempotent=idempotent
    )


@action("request", input=AnyRequest, output=HttpOutput, target=find_origin, idempotent="key")
async def request(context: Context, input: AnyRequest) -> HttpOutput:
    """Send a request with any method."""
    return await _perform(input.method, context, input)


CONNECTOR = Connector(
    "http",
    "Requests to any HTTP API",
    (
        _make_action("GET", "Read something with a GET request.", Target),
        _make_action("POST", "Send something with a POST request.", BodyRequest),
        _make_action("PUT", "Store something with a PUT request.", BodyRequest),
        _make_action("PATCH", "Change something with a PATCH request.", BodyRequest),
        _make_action("DELETE", "Remove something with a DELETE request.", BodyRequest),
        request,
    ),
    HttpConnection,
    takes_auth=True,
)


async def _follow_redirects(context: Context, method: str, target: Target, response: Response) -> tuple[Response, str]:
    """Follow redirects until a response is not one; returns that response and its URL. Raises `ActionError`."""
    if not is_redirect(response):
        return response, target.url
    base_url = context.connection.base_url if isinstance(context.connection, HttpConnection) else None
    response, hop = await follow_redirects(
        response,
        Hop(method, add_params(target.url, target.params), target.headers, base_url),
        target.redirects,
        send=lambda hop: _send(
            method,
            context,
            target.model_copy(update={"url": hop.url, "headers": hop.headers, "params": {}}),
            is_signed=target.redirects == "same_origin",
        ),
        is_expected=lambda response: _is_expected(response, method, target),
        describe=lambda hop: describe_request(method, parse_url(hop.url)),
    )
    return response, hop.url


def _is_expected(response: Response, method: str, target: Target) -> bool:
    if target.expect is not None:
        return response.status in target.expect
    if response.status == 304 and method in READ_METHODS:
        return not _CONDITIONAL.isdisjoint(map(str.lower, target.headers))
    return response.is_success


def _resolve_target(method: str, context: Context, target: Target) -> Target:
    """Return the target with the connection's additions. If redirects are followed, the idempotency key is set here, so
    that all requests of the chain, which ask for a single effect, have the same key."""
    if isinstance(context.connection, HttpConnection):
        target = context.connection.apply_to(target)
    elif not is_absolute(target.url):
        raise InvalidRequest(find_problem(target.url) or RELATIVE)
    if target.redirects == "refuse" or method not in UNSAFE_METHODS or has_idempotency_key(target.headers):
        return target
    return target.model_copy(update={"headers": target.headers | {"idempotency-key": context.next_key()}})


async def _send(method: str, context: Context, target: Target, *, is_signed: bool = True) -> Response:
    content: bytes | None = None
    payload: JSON | UnsetType = UNSET
    form: Params | None = None
    if isinstance(target, BodyRequest):
        content, form = None if target.body is None else target.body.encode(), target.form
        if target.payload is not None or "payload" in target.model_fields_set:
            payload = target.payload
    if is_signed and context.auth:
        body, described_by = encode_body(content, payload, form)
        headers = {name.decode(): value.decode() for name, value in described_by}
        request = OutgoingRequest(method, target.url, headers, target.params, body).with_headers(target.headers)
        return (await send_signed(context, request, has_key=True)).response
    return await context.resource(HttpClient).send(
        context,
        method,
        target.url,
        headers=target.headers,
        params=target.params,
        content=content,
        json=payload,
        form=form,
    )


def _make_output(context: Context, response: Response) -> HttpOutput:
    body, encoding, problem = read_body(response)
    if problem:
        context.log.warning("%s", problem)
    headers = {**response.headers, **response.repeated}
    return HttpOutput(status=response.status, headers=headers, body=body, body_encoding=encoding)
