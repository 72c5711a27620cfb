"""The keys of a connector's file.

What the models cannot check, because it depends on several keys, is checked by `connectors.yaml_form.load.FileCheck`.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue
from pydantic.types import StringConstraints

from connectors.declared.compiled import KeyFormat, ParameterStyle, Redirects, RetryUnit
from connectors.declared.keys import SHORTEST
from durable.action import ErrorClass, Idempotent
from durable.durations import Milliseconds
from durable.limit import Limit
from durable.spec_model import Condition, Identifier, SpecModel

METHODS = ("get", "head", "post", "put", "patch", "delete")
BODIES = ("json", "form", "multipart", "graphql", "body")
WAYS = ("link", "next", "cursor", "offset", "number")
"""The keys of which a page has exactly one: how the next page is found."""

InputName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
"""A name that expressions can read; services also use capital letters."""

FieldName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", max_length=200)
]
"""A field of an item, or with dots one inside it: `profile.name`."""

Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Path: TypeAlias = Annotated[str, StringConstraints(max_length=2_000)]
Schema: TypeAlias = Any
"""A JSON Schema, which the loader checks."""
Word: TypeAlias = Annotated[str, StringConstraints(strict=True, min_length=1)] | Annotated[int, Field(strict=True)]
HeaderValue: TypeAlias = str | int | float | bool | None


# -- what the actions share ---------------------------------------------------------------------------------------


class ErrorMatchSpec(SpecModel, title="ErrorMatch"):
    """A condition that gives an error its class."""

    when: Condition = Field(description="An expression that reads `answer`")


class ErrorsSpec(SpecModel, title="Errors"):
    """How errors are recognised and classified. An expression that reads a missing value is null."""

    when: Condition | None = Field(
        None, description="An expression: whether a response is an error although its status is below 400"
    )
    code: str | None = Field(None, description="The service's error code: '{{ answer.body.error }}'")
    message: str | None = Field(None, description="The service's error message: '{{ answer.body.message }}'")
    ok: tuple[Word, ...] = Field((), description="Error codes or statuses that count as success")
    classes: dict[ErrorClass, tuple[Word | ErrorMatchSpec, ...]] = Field(
        default_factory=dict,
        description="Error classes, each with the codes, statuses or conditions that it applies to, such as "
        "`server: [busy, {when: answer.body.code == 7}]`; the first match counts; default: by the status",
    )


class RetryAfterSpec(SpecModel, title="RetryAfter"):
    """Where a response says when to try again."""

    header: Text | None = Field(None, description="The name of a header")
    value: Condition | None = Field(None, description="An expression that reads `answer`, instead of a header")
    unit: RetryUnit = Field(
        "s", description="Seconds (or an HTTP date), milliseconds, or a Unix time in seconds or in milliseconds"
    )
    when: Condition | None = Field(None, description="An expression: whether this rule applies")


class PageSizeSpec(SpecModel, title="PageSize"):
    """The parameter that sets the number of items in a page."""

    param: Text = Field(description="The name of the parameter")
    value: Annotated[int, Field(strict=True, ge=1, le=100_000)] = Field(description="The number of items")


class OffsetSpec(SpecModel, title="Offset"):
    """A parameter with the number of items on the previous pages."""

    param: Text = Field(description="The name of the parameter")


class PageNumberSpec(SpecModel, title="PageNumber"):
    """A parameter with the number of the page."""

    param: Text = Field(description="The name of the parameter")
    first: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = Field(1, description="The number of the first page")


class PageSpec(SpecModel, title="Page"):
    """How to get the pages of a list; exactly one of link, next, cursor, offset and number."""

    items: Condition | None = Field(None, description="An expression: the list in a page; reads `answer`")
    more: Condition | None = Field(
        None, description="An expression: whether another page follows; reads `answer` and `items`"
    )
    link: Text | None = Field(None, description="The relation in the `Link` header (RFC 8288) of the next page: next")
    next: Condition | None = Field(None, description="An expression: the URL of the next page; null after the last")
    cursor: Condition | None = Field(
        None, description="An expression: what the next request sends as `param`; null after the last page"
    )
    param: Text | None = Field(None, description="The name of the parameter with the cursor")
    offset: OffsetSpec | None = Field(None, description="A parameter with the number of items on the previous pages")
    number: PageNumberSpec | None = Field(None, description="A parameter with the number of the page")
    size: PageSizeSpec | None = Field(None, description="The parameter that sets the number of items in a page")
    max_pages: Annotated[int, Field(strict=True, ge=1, le=10_000)] = Field(
        200, description="More pages than this are an error"
    )
    max_items: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None, description="The maximum number of items to get; the list ends there"
    )
    delay: Milliseconds = Field(0, description="The time between two pages: 200ms")


class KeySpec(SpecModel, title="IdempotencyKey"):
    """Where a step's idempotency key is sent; exactly one of header, json and param."""

    header: Text | None = Field(None, description="The name of a request header")
    json_: Text | None = Field(None, alias="json", description="The name of a field of the body")
    param: Text | None = Field(None, description="The name of a query parameter")
    max: Annotated[int, Field(strict=True, ge=SHORTEST, le=1_000)] | None = Field(
        None, description="The maximum number of characters; a longer key is hashed"
    )
    as_: KeyFormat = Field("text", alias="as", description="The format of the key that the service accepts")
    with_: dict[str, JsonValue] | None = Field(
        None, alias="with", description="Fields that are sent in the body along with the key"
    )


class RequestSpec(SpecModel):
    """What all requests of the connector share, and each action may set for itself."""

    base_url: Text | None = Field(None, description="The URL to which the paths of the actions are appended")
    params: dict[str, JsonValue] | None = Field(None, description="Query parameters by name")
    headers: dict[str, HeaderValue] | None = Field(None, description="Request headers by name")
    encode: Literal["json", "form", "multipart"] | None = Field(
        None, description="How a body is encoded; default: json"
    )
    styles: dict[str, ParameterStyle] | None = Field(
        None, description="How a query parameter that is a list or a mapping is written; default: its name repeated"
    )
    errors: ErrorsSpec | None = Field(
        None, description="How errors are recognised and classified; default: by the status"
    )
    retry_after: tuple[RetryAfterSpec, ...] | None = Field(
        None, min_length=1, description="Where a response says when to try again; default: the header retry-after"
    )
    page: PageSpec | None = Field(None, description="How to get the pages of a list")
    idempotency: KeySpec | None = Field(
        None, description="Where the idempotency key is sent; only for a service that honours it"
    )
    redirects: Redirects | None = Field(
        None,
        description="How redirects are handled: `refuse` (default), `same_origin` (307 and 308), or, for GET, "
        "`without_credentials`",
    )


class HttpSpec(RequestSpec, title="Http"):
    """What all requests share. An action can have the same keys, except `limit`; its values take precedence."""

    limit: Limit | None = Field(None, description="The limits of each connection, for all runs together")


# -- connections --------------------------------------------------------------------------------------------------


class ConnectionFieldsSpec(SpecModel, title="Connection"):
    """What a connection in connections.yaml consists of, and how its requests are signed."""

    fields: dict[Identifier, Schema] = Field(
        default_factory=dict, description="JSON Schemas by name; credentials have `secret: true`"
    )
    auth: tuple[dict[str, JsonValue], ...] = Field(
        (), description="How requests are signed; the first entry whose fields the connection has is used"
    )
    test: Text | None = Field(None, description="The action that tests whether a connection works")


# -- actions ------------------------------------------------------------------------------------------------------


class OptionsSpec(SpecModel, title="Options"):
    """The choices for an input: what another action lists."""

    use: Text = Field(description="An action of this connector that lists them")
    with_: dict[str, JsonValue] | None = Field(
        None, alias="with", description="Its inputs; expressions read the other `inputs`"
    )
    value: FieldName | None = Field(None, description="The field of an item that is chosen; default: the item itself")
    label: FieldName | None = Field(None, description="The field of an item that is shown to people")


class ConnectorUndoSpec(SpecModel, title="ConnectorUndo"):
    """The action of this connector that reverses the effect."""

    use: Text = Field(description="The name of the action")
    with_: dict[str, JsonValue] | None = Field(
        None, alias="with", description="Its inputs; expressions read `inputs` and `output` of the step"
    )


class ActionRulesSpec(RequestSpec):
    """What a file says of an action beside its request: what it returns, and whether it can be repeated or undone."""

    output: JsonValue = Field(
        None, description="What the action returns; reads `answer` (status, headers, body); default: the body"
    )
    returns: dict[str, Any] | None = Field(
        None, description="The output: JSON Schemas by name, or one JSON Schema; of a list in pages, each item"
    )
    idempotent: Idempotent | None = Field(
        None,
        description="Whether it can be repeated without a second effect; default: implied by the method and "
        "`idempotency`",
    )
    undo: ConnectorUndoSpec | None = Field(None, description="The action that reverses the effect")


class GraphqlSpec(SpecModel, title="Graphql"):
    """A GraphQL operation and its variables."""

    query: Text = Field(description="The query or mutation")
    variables: dict[str, JsonValue] | None = Field(None, description="Its variables; default: the inputs")


class BytesSpec(SpecModel, title="Bytes"):
    """A binary body."""

    base64: Text = Field(description="The body in base64: '{{ inputs.content }}'")


def _read_query(value: object) -> object:
    return {"query": value} if isinstance(value, str) else value


class DeclaredActionSpec(ActionRulesSpec, title="Action"):
    """One request: exactly one of get, head, post, put, patch and delete, with its path."""

    about: Text = Field(description="What it does, in a sentence")
    get: Path | None = Field(None, description="The path of a GET request: /items/{id}")
    head: Path | None = Field(None, description="The path of a HEAD request")
    post: Path | None = Field(None, description="The path of a POST request")
    put: Path | None = Field(None, description="The path of a PUT request")
    patch: Path | None = Field(None, description="The path of a PATCH request")
    delete: Path | None = Field(None, description="The path of a DELETE request")
    inputs: dict[InputName, Schema] = Field(
        default_factory=dict, description="JSON Schemas by name; one with a `default` may be left out"
    )
    json_: JsonValue = Field(None, alias="json", description="The body, as JSON; default: the inputs")
    form: dict[str, JsonValue] | None = Field(None, description="The body, as a form; default: the inputs")
    multipart: dict[str, JsonValue] | None = Field(
        None,
        description="The parts of the body: each a text, or a mapping of `text` or `base64` with `filename` and "
        "`content_type`; default: the inputs",
    )
    graphql: Annotated[GraphqlSpec, BeforeValidator(_read_query)] | None = Field(
        None, description="The body: a GraphQL query, or a mapping of `query` and `variables`"
    )
    body: Text | BytesSpec | None = Field(None, description="The body, as text or {base64: …}")
    media_type: Text | None = Field(None, description="The content type of the body; default: that of its encoding")


# -- tests --------------------------------------------------------------------------------------------------------


class AnswerSpec(SpecModel, title="Answer"):
    """A response of the service."""

    status: Annotated[int, Field(strict=True, ge=100, le=599)] = Field(200, description="The HTTP status")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers by name")
    body: JsonValue = Field(None, description="The body: JSON, or a text")


class ExpectedRequestSpec(SpecModel, title="ExpectedRequest"):
    """The expected request; keys that are left out are not compared."""

    method: Text | None = Field(None, description="The method, in capital letters")
    path: str | None = Field(None, description="The path, encoded, without `base_url`")
    params: dict[str, JsonValue] | None = Field(None, description="All query parameters")
    headers: dict[str, str] | None = Field(None, description="Some of the headers")
    body: JsonValue = Field(None, description="The body: JSON, the fields of a form, or a text")


class ExpectedErrorSpec(SpecModel, title="ExpectedError"):
    """The expected error."""

    class_: ErrorClass | None = Field(None, alias="class", description="The class of the error")
    code: str | None = Field(None, description="The service's code of the error")
    message: str | None = Field(None, description="Part of the message")


class ExpectSpec(SpecModel, title="Expect"):
    """The expected result."""

    request: ExpectedRequestSpec | tuple[ExpectedRequestSpec, ...] | None = Field(
        None, description="The request, or the requests in order"
    )
    output: JsonValue = Field(None, description="The output")
    error: ExpectedErrorSpec | None = Field(None, description="The error with which the action fails")


class ConnectorTestSpec(SpecModel, title="Test"):
    """An exchange with the service, and the expected result."""

    about: Text | None = Field(None, description="What it shows")
    action: Text = Field(description="The name of the action")
    with_: dict[str, JsonValue] = Field(default_factory=dict, alias="with", description="The inputs of the action")
    connection: dict[str, JsonValue] = Field(
        default_factory=dict, description="Fields of the connection; default: sample values"
    )
    answer: AnswerSpec | tuple[AnswerSpec, ...] = Field(
        description="The response of the service, or its responses in order"
    )
    expect: ExpectSpec = Field(description="The expected output or error, and the expected requests")


# -- the file -----------------------------------------------------------------------------------------------------


class ConnectorSpec(SpecModel, title="Waypost connector"):
    """A connector: a service and its actions."""

    id: Identifier = Field(description="The part of `use:` before the dot; the name of the file")
    about: Text = Field(description="What the service is, in a sentence")
    connection: ConnectionFieldsSpec | None = Field(None, description="What a connection consists of")
    http: HttpSpec = Field(default_factory=HttpSpec, description="What all requests share")
    actions: dict[Identifier, DeclaredActionSpec] = Field(
        default_factory=dict, description="The connector's actions by name"
    )
    code: Annotated[str, StringConstraints(pattern=r"^_[A-Za-z0-9_]+\.py$")] | None = Field(
        None,
        description="A Python file in the same folder with further actions; its name begins with `_`: _slack.py",
        examples=["_slack.py"],
    )
    triggers: dict[Identifier, dict[str, JsonValue]] | None = Field(None, description="Not supported yet")
    tests: tuple[ConnectorTestSpec, ...] = Field((), description="Exchanges with the service, and the expected results")
