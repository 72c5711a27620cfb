"""`flow.respond`: answer the sender of the webhook that started the run."""

from typing import Annotated, Any, Self, TypeAlias

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from durable.action import Inputs
from durable.blocks.block import CoreAction
from durable.blocks.endings import get_inputs
from durable.blocks.syntax import CoreSyntax, hold
from durable.charsets import UTF_8, encode_text
from durable.effects import Consequences, PublishAnswer
from durable.history.entries import StepCompleted, StepScheduled
from durable.history.state import State
from durable.http_syntax import HEADER_NAME
from durable.media_type import parse_media_type
from durable.steps.node import CompiledPipeline
from durable.values import Value

OUR_HEADERS = frozenset(
    {
        *("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-encoding", "date"),
        *("content-security-policy", "set-cookie", "x-content-type-options", "waypost-event", "waypost-runs"),
    }
)
"""Headers that the server sets itself, and headers that isolate the response from other pages of the same origin."""

HEADERS_LIMIT = 50
NAME_LIMIT = 100
VALUE_LIMIT = 4_000
"""The maximum number of headers of a response, and of characters of each name and value."""

BODILESS = frozenset({204, 304})
"""Statuses of responses without a body: https://www.rfc-editor.org/rfc/rfc9110#section-6.4.1"""

RESET = 205
"""A status whose body is empty: https://www.rfc-editor.org/rfc/rfc9110#section-15.3.6"""


def _check_header_name(name: str) -> str:
    if not HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if name.lower() in OUR_HEADERS:
        raise ValueError(f"{name!r} cannot be set by a pipeline")
    return name


def _check_header_value(value: object) -> object:
    """Return a header's value as text. It must be one line, so that it cannot add another header."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and not (value.isprintable() and value.isascii()):
        raise ValueError("a header is one line of printable ASCII")
    return value


HeaderName: TypeAlias = Annotated[str, Field(max_length=NAME_LIMIT), AfterValidator(_check_header_name)]
HeaderValue: TypeAlias = Annotated[
    str, Field(max_length=VALUE_LIMIT), BeforeValidator(_check_header_value, json_schema_input_type=str | int | float)
]


class RespondInputs(Inputs, title="Respond"):
    """Answer the sender of the webhook that started the run. Its trigger must have `respond: step`."""

    status: int = Field(200, ge=200, le=599, description="The HTTP status")
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, max_length=HEADERS_LIMIT, description="HTTP headers by name"
    )
    body: Any = Field(
        None, description="Text in the charset of its `Content-Type`, anything else as JSON; default: no body"
    )

    @field_validator("headers")
    @classmethod
    def _are_different(cls, headers: dict[str, str]) -> dict[str, str]:
        names = [name.lower() for name in headers]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice!r} is given twice")
        return headers

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.status in (*BODILESS, RESET) and self.body is not None:
            raise ValueError(f"an answer of status {self.status} has no body")
        return self

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        if isinstance(self.body, str):
            self.encode_body()
        return self

    def encode_body(self) -> bytes:
        """Return the body as bytes; text is encoded in the charset of its `Content-Type`. Raises `ValueError`."""
        if not isinstance(self.body, str):
            return b"" if self.body is None else msgspec.json.encode(self.body)
        declared = next((text for name, text in self.headers.items() if name.lower() == "content-type"), "")
        return encode_text(self.body, parse_media_type(str(declared)).charset or UTF_8)


def _begin(pipeline: CompiledPipeline, state: State, entry: StepScheduled) -> Consequences:
    answer = RespondInputs.model_validate(get_inputs(state, entry.path)).model_dump(mode="json")
    end = StepCompleted(at=entry.at, path=entry.path, attempt=1, output=Value.of(answer), is_answer=True)
    return [end], [PublishAnswer()]


ACTION = CoreAction(
    use="flow.respond", input=RespondInputs, syntax=CoreSyntax(returns=hold("status", "headers", "body")), begin=_begin
)
