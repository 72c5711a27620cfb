"""What the pages of the dashboard are made of: the request of a page, its view, a redirect, and its place.

A page is a client of the API in the same process: it reads documents and acts by operations, so that scopes, the words
of refusals and redaction have one home. Its query parameters have the names of the operation's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import Response

from durable.values import JSON
from triggers.api.calls import OperationCalls
from triggers.api.problem import ApiError
from triggers.audit import Caller
from triggers.documents.fields import Scope
from triggers.keys import KeyHolder
from triggers.problem_details import Mistake

Document = TypeVar("Document")

MOST_DIGITS = 9
"""The digits of a number. Python refuses to read more than 4,300."""

NoticeKind: TypeAlias = Literal["ok", "bad"]


class PageNotice(msgspec.Struct, frozen=True):
    """What became of an action, in a sentence that the next page shows."""

    text: str
    kind: NoticeKind = "ok"


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows: its template with the values for it.

    `live`: the blocks that change while the page is open. Each has one element, whose id is the block's name.
    `watches`: what they depend on: `run:ID`, or a kind of thing (`runs`, `deliveries`, `waits`, `bulks`, `schedules`).
    `live_at`: the address whose live blocks these become, if it is not the page's own: that of a list up to its newest
    row, so that rows do not move under the pointer.
    `refreshes`: without scripts, the browser loads the page again after some seconds.
    """

    template: str
    values: Mapping[str, object]
    status: int = 200
    live: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    live_at: str | None = None
    refreshes: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """The answer to an action: the page that the browser loads next, and what that page says."""

    to: str
    notice: PageNotice | None = None


@dataclass(frozen=True)
class PageRequest:
    """The request of a page. `path`, `query`: its parameters, the query without empty ones, as a form without entries
    sends them. `choices`: the fields of a submitted form, with all values of each name.
    `origin`: the scheme and host at which the browser has the service. `now`: in ms."""

    caller: Caller
    calls: OperationCalls
    now: int
    origin: str
    url: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    choices: Mapping[str, list[str]]

    @property
    def visitor(self) -> KeyHolder:
        """Who is signed in."""
        assert self.caller.holder, "pages need a sign-in"
        return self.caller.holder

    @property
    def form(self) -> dict[str, str]:
        """The fields of the submitted form, the last value of each name."""
        return {name: values[-1] for name, values in self.choices.items()}

    def may(self, scope: Scope) -> bool:
        """Whether the visitor may do what needs this scope."""
        return self.visitor.may(scope)

    async def read(self, operation: str, document: type[Document], **parameters: object) -> Document:
        """The document of an operation that reads. Parameters that are None are left out. Raises the operation's
        errors."""
        return msgspec.json.decode(await self.read_bytes(operation, **parameters), type=document)

    async def read_bytes(self, operation: str, **parameters: object) -> bytes:
        """What an operation that reads answers, as it is."""
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        response = await self.calls.call(operation, self.caller, given, {})
        return bytes(response.body)

    async def act(
        self,
        operation: str,
        document: type[Document],
        parameters: Mapping[str, str],
        body: Mapping[str, JSON] | None = None,
    ) -> Document:
        """Perform an operation, and return its document. Raises the operation's errors."""
        response = await self.calls.call(operation, self.caller, parameters, body or {})
        return msgspec.json.decode(bytes(response.body) or b"null", type=document)

    def pick(self, *names: str) -> dict[str, str]:
        """Those of the query's parameters that have these names."""
        return {name: self.query[name] for name in names if name in self.query}

    def link(self, **changes: object) -> str:
        """The address of this page with some parameters changed; None removes one."""
        changed = {**self.query, **changes}
        return make_link(self.url.partition("?")[0], **changed)


def make_link(path: str, **query: object) -> str:
    """An address of the dashboard; parameters that are None are left out."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def make_path(*parts: str) -> str:
    """A path of the dashboard, each part percent-encoded."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def parse_number(name: str, text: str) -> int:
    """A whole number that a form or a query has under a name; raises `ApiError`."""
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise ApiError.invalid([Mistake(name=name, detail="should be a whole number")])
    return int(text)


PageAnswer: TypeAlias = View | Redirect | Response

Show: TypeAlias = Callable[[PageRequest], Awaitable[PageAnswer]]


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A page (`GET`), or an action of one (`POST`): its path below `/`, and the function that answers it."""

    method: Literal["GET", "POST"]
    path: str
    show: Show


Values: TypeAlias = dict[str, Any]
"""What a template is given."""
