"""What a `flow.respond` says: the HTTP answer to the sender of a webhook."""

import re
from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from durable.action import Inputs

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""https://www.rfc-editor.org/rfc/rfc9110#name-tokens"""

OUR_HEADERS = frozenset(
    {
        *("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-security-policy", "set-cookie", "x-content-type-options", "waypost-event", "waypost-runs"),
    }
)
"""Headers of an answer that are about the connection, and those that keep its page apart from what is here else."""

BODILESS = frozenset({204, 304})
"""Statuses of answers that have no body: https://www.rfc-editor.org/rfc/rfc9110#section-6.4.1"""


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    if name.lower() in OUR_HEADERS:
        raise ValueError(f"{name!r} is not for a pipeline to set")
    return name


def _header_value(value: object) -> object:
    """A header's value as text; no line can be added to the headers by it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and not (value.isprintable() and value.isascii()):
        raise ValueError("a header is one line of printable ASCII")
    return value


HeaderName: TypeAlias = Annotated[str, AfterValidator(_header_name)]
HeaderValue: TypeAlias = Annotated[str, BeforeValidator(_header_value, json_schema_input_type=str | int | float)]


class Respond(Inputs):
    """Answer the sender of the webhook that started the run, if it is to be told by a step (`respond: step`)."""

    status: int = Field(200, ge=200, le=599, description="The HTTP status")
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, description="HTTP headers by name")
    body: Any = Field(None, description="Text as it is, anything else as JSON; default: no body")

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.status in BODILESS and self.body is not None:
            raise ValueError(f"an answer of status {self.status} has no body")
        return self
