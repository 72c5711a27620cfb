"""Operations of the API, each one method of one path, declared once for the router and the OpenAPI document.

An operation's models (pydantic) read its requests, its answers are documents (`triggers.documents`), and OpenAPI
describes it by both.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, JsonValue
from starlette.responses import Response

from triggers.documents.fields import KeyGrant, Scope
from triggers.keys import KeyHolder
from triggers.realtime.permit import StreamPermit

Method: TypeAlias = Literal["GET", "POST", "DELETE"]
Answer: TypeAlias = type[Struct] | tuple[type[Struct], ...] | str | None
"""The document of an answer, or several of which one fits, or the media type of another answer; None has no body."""


def respond(document: Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a document."""
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")


class Parameters(BaseModel):
    """What stands in a request's path, query and headers; a header says so with `HEADER`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Body(BaseModel):
    """A request's body. Strict: text is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Nothing(Body):
    """No body."""


HEADER: dict[str, JsonValue] = {"in": "header"}
"""Marks a parameter that is a header."""

Asks = TypeVar("Asks", bound=Parameters)
Brings = TypeVar("Brings", bound=Body)


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[Asks, Brings]):
    """A request that was read. `holder` is its sender, None where no key is needed. `granted` is what they may follow,
    where a token suffices."""

    parameters: Asks
    body: Brings
    holder: KeyHolder | None
    granted: StreamPermit | None = None

    @property
    def by(self) -> KeyHolder:
        """The sender, where a key is needed."""
        assert self.holder, "this operation is open to everybody"
        return self.holder

    @property
    def permit(self) -> StreamPermit:
        """What the sender may follow, where a token suffices."""
        assert self.granted, "this operation takes no tokens"
        return self.granted

    @property
    def may_answer(self) -> bool:
        """Whether the sender may answer what runs wait for."""
        return self.by.may("start", "answer")


@dataclass(frozen=True)
class Operation(Generic[Asks, Brings]):
    """One method of one path below `/api`, with the scope that its key needs (None: no key) and its models.

    `problems` says what an error status means here, besides those that the shape of the operation brings.
    `takes_tokens`: a token for streams suffices, and pages of every origin may ask (CORS).
    `grant`: what suffices in place of the scope.
    `is_recorded`: it changes nothing, or what it makes is its own record; so it has no row in the audit log.
    """

    method: Method
    path: str
    perform: Callable[[ApiRequest[Asks, Brings]], Awaitable[Response]]
    scope: Scope | None
    parameters: type[Asks]
    body: type[Brings]
    answers: Mapping[int, Answer]
    problems: Mapping[int, str] = field(default_factory=dict)
    takes_tokens: bool = False
    grant: KeyGrant | None = None
    is_recorded: bool = False

    @property
    def is_audited(self) -> bool:
        """Whether each call is a row of the audit log."""
        return self.method != "GET" and not self.is_recorded

    @property
    def id(self) -> str:
        return self.perform.__name__

    @property
    def description(self) -> str:
        """What it does: the docstring of its function."""
        return inspect.getdoc(self.perform) or ""

    def find_places(self) -> dict[str, str]:
        """Where each parameter stands: `path`, `query` or `header`, by its name."""
        return {
            (info.alias or name): "path" if f"{{{name}}}" in self.path else _find_place(info.json_schema_extra)
            for name, info in self.parameters.model_fields.items()
        }


def _find_place(extra: Any) -> str:
    return "header" if isinstance(extra, dict) and extra.get("in") == "header" else "query"
