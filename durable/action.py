"""The interface of a connector: its actions, the context they get, and the errors they raise.

    ActionError              an attempt failed; says what is known about its effect
    ├── AttemptEnded         the attempt is over (timeout, cancel, lost lease); its context refuses every call
    ├── ConnectionMissing    the connection does not exist, or belongs to another connector
    └── LoginNeeded          somebody has to log the connection in

Any other exception ends the attempt with an unknown effect and the class `internal`.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, Field

from durable.http_port import HttpRequests
from durable.limit import NO_LIMIT, Limit
from durable.page import FIRST_PAGE, Page, PagePosition, ReturnsPages, always_returns_pages
from durable.problem import Problem
from durable.progress import ProgressBoard
from durable.redactor import Redactor
from durable.values import JSON
from durable.wording import quote

ErrorClass: TypeAlias = Literal[
    "network", "timeout", "rate_limit", "server", "client", "auth", "invalid", "internal", "crash"
]

Ending: TypeAlias = Literal["not_sent", "answered", "unknown"]
"""How an attempt ended: it certainly had no effect, the service responded, or neither is known."""

OnCrash: TypeAlias = Literal["retry", "park", "fail"]

Idempotent: TypeAlias = Literal["yes", "key", "no"]
"""Whether an action can be repeated without a second effect: by itself (`yes`), because the service honours the
idempotency key that it sends (`key`), or not at all (`no`)."""

ON_CRASH: Mapping[Idempotent, OnCrash] = {"yes": "retry", "key": "retry", "no": "park"}
"""The default of `on_crash`."""

Stored: TypeAlias = Any
"""JSON from which an action can be restored; part of the pipeline version that uses it."""

Secret = Annotated[str, Field(json_schema_extra={"secret": True})]
"""Text that may contain `{{ secrets.NAME }}`; checked when a pipeline is loaded."""

Credential = Annotated[str, Field(json_schema_extra={"secret": True, "credential": True})]
"""Text that is always secret; a file that contains it in plain text gets a warning."""

URL = Annotated[str, Field(json_schema_extra={"secret": True, "url": True})]
"""A URL that may contain secrets. The values of its expressions are percent-encoded, so they cannot change the host."""

Resource = TypeVar("Resource")

FindTarget: TypeAlias = Callable[[Any, BaseModel | None], str | None]
"""Finds the target of an attempt, such as `https://api.example.com`, from the action's input and its connection; None
if they do not determine it."""

TARGET_LIMIT = 128
"""The maximum number of concurrent attempts that call one target, and of connections to it."""


class ActionError(Exception):
    """An attempt failed.

    `error_class`: what a retry policy matches.
    `code`: the service's own error code.
    `ending`: whether the effect did not happen (`not_sent`), the service responded (`answered`), or neither is certain.
    `retry_after`: in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        error_class: ErrorClass,
        code: str | None = None,
        ending: Ending = "answered",
        retry_after: float | None = None,
        details: JSON = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_class: ErrorClass = error_class
        self.code = code
        self.ending: Ending = ending
        self.retry_after = retry_after
        self.details = details


class AttemptEnded(ActionError):
    """The attempt is over; its context refuses every call."""

    def __init__(self) -> None:
        super().__init__(
            "the attempt is over; its context does nothing more", error_class="internal", ending="not_sent"
        )


class ConnectionMissing(ActionError):
    """The connection that a step names does not exist, or belongs to another connector."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_class="auth", code="connection_missing", ending="not_sent")


class LoginNeeded(ActionError):
    """The connection cannot be used until somebody has logged it in. The run is paused."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_class="auth", code="login_needed", ending="not_sent")


@dataclass(frozen=True, slots=True)
class InvalidOutput:
    """What an action returns if its effect has happened, but its output cannot be made: the step fails as `invalid`,
    keeps `raw`, and does not repeat the effect. `problem` says why."""

    raw: JSON
    problem: str


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection with its secrets filled in, for one attempt.

    `fields`: an instance of the connector's model.
    `auth`: the schemes that sign its requests, by name, each with an instance of its model of settings.
    `secrets`: the secret values in all of this.
    `base_url`: as the connector says it.
    """

    name: str
    fields: BaseModel
    auth: Mapping[str, BaseModel] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    base_url: str | None = None


@dataclass(slots=True)
class Context:
    """The attempt, as its action sees it.

    `path`: the step's path; of a page, `STEP.page[n]`.
    `attempt`: the number of the attempt, from 1; that of a page begins anew.
    `key`: the idempotency key of the step or of the page, the same in every attempt.
    `resources`: objects that actions share, by class (such as the HTTP client). The composition root creates them.
    `connection`: the step's connection, an instance of the connector's model with the secrets filled in; None if the
    step names none.
    `connection_name`: its name in `connections.yaml`.
    `auth`: the schemes that sign the connection's requests, by name, with their settings, secrets filled in.
    `base_url`: the URL of the service, if the connector says it.
    `redactor`: knows the secrets of the attempt.
    `page`: the page to get, if the action `returns_pages`.
    `gate`: the limits of the connection, which each request passes; None without a connection.
    `traceparent`: the span that requested the run; requests tell services their own, which is below it.
    """

    run: str
    path: str
    attempt: int
    key: str
    log: logging.LoggerAdapter[logging.Logger]
    resources: Mapping[type, object] = field(default_factory=dict)
    connection: BaseModel | None = field(default=None, repr=False)
    connection_name: str | None = None
    auth: Mapping[str, Any] = field(default_factory=dict, repr=False)
    base_url: str | None = None
    redactor: Redactor | None = field(default=None, repr=False)
    page: PagePosition = FIRST_PAGE
    gate: "RequestGate | None" = field(default=None, repr=False)
    timer: "Timer | None" = field(default=None, repr=False)
    traceparent: str | None = None
    is_open: bool = True
    _requests: int = 0
    _board: ProgressBoard | None = None

    def ensure_open(self) -> None:
        """Raise `AttemptEnded` if the attempt is over. Call this immediately before every effect."""
        if not self.is_open:
            raise AttemptEnded

    def begin_sending(self) -> None:
        """Raise `AttemptEnded` if the attempt is over; otherwise, a request is being sent."""
        self.ensure_open()
        if self.gate is not None:
            self.gate.note_sent()

    def next_key(self) -> str:
        """Return the idempotency key of the attempt's next request: `key`, then `key-2`, `key-3` …"""
        if not self.is_open:
            raise AttemptEnded
        self._requests += 1
        return self.key if self._requests == 1 else f"{self.key}-{self._requests}"

    @property
    def http(self) -> HttpRequests:
        """Sends requests to the connection's service, with its credentials."""
        make = self.resources.get(HttpRequests)
        if not callable(make):
            raise LookupError("no HTTP requests are offered to actions")
        requests: HttpRequests = make(self)
        return requests

    def resource(self, kind: type[Resource]) -> Resource:
        """Return the shared instance of a class; raises `LookupError` if the service has none."""
        if not self.is_open:
            raise AttemptEnded
        found = self.resources.get(kind)
        if not isinstance(found, kind):
            raise LookupError(f"no {kind.__name__} is offered to actions")
        return found

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Suspend the attempt's timeout while it waits for one of Waypost's own limits. The run shows `what` it waits
        for ("a connection to https://api.example.com")."""
        self.ensure_open()
        if self.timer is None:
            yield
            return
        self.timer.suspend(what)
        try:
            yield
        finally:
            self.timer.resume(what)

    def stop_timeout(self) -> None:
        """Stop the attempt's timeout: the response is complete, and local processing is not interrupted."""
        if self.timer:
            self.timer.cancel()

    def conceal(self, value: str) -> None:
        """Redact a credential that was made for this attempt, such as a signature, in its output, error and logs."""
        if self.redactor:
            self.redactor.learn(value)

    def report(self, value: JSON = None, *, text: str = "") -> None:
        """Show those who follow the run a value instead of the last one, and more text; both end with the attempt."""
        self.ensure_open()
        if isinstance(board := self.resources.get(ProgressBoard), ProgressBoard):
            self._board = board
            board.report(self.run, self.path, self.attempt, value, text, self.redactor)

    def close(self) -> None:
        self.is_open = False
        if self._board is not None:
            self._board.clear(self.run, self.path)


class Timer(Protocol):
    """The timeout of an attempt, which can be suspended. `waits` lists what the attempt is waiting for."""

    waits: list[str]

    def suspend(self, what: str) -> None:
        """Stop the clock while the attempt waits for this."""
        ...

    def resume(self, what: str) -> None:
        """Restart the clock if the attempt waits for nothing else."""
        ...

    def cancel(self) -> None:
        """Stop the clock permanently."""
        ...


class RequestGate(Protocol):
    """The limits of a connection. The HTTP client calls it; an action that sends its requests by another client does
    so before each request."""

    async def pass_request(self, context: Context) -> None:
        """Wait until the next request of the attempt may be sent; the first one need not wait. The attempt's timeout is
        suspended meanwhile."""
        ...

    def note_sent(self) -> None:
        """Take note that a request is being sent: there is a connection for it."""
        ...


Returned: TypeAlias = "BaseModel | InvalidOutput | Page | JSON"
"""What an action returns."""


class ActionFunction(Protocol):
    """The function of an action: takes an instance of its input model, and returns JSON, an instance of its output
    model, or an `InvalidOutput`. An action that `returns_pages` returns a `Page`, and its output model describes the
    output of all pages."""

    def __call__(self, context: Context, input: Any, /) -> Awaitable[Returned]: ...


@dataclass(frozen=True, slots=True)
class Action:
    """An operation of a connector.

    `name`: the part of `use:` after the dot.
    `input`, `output`: the models of its inputs and its output. An `output` of None allows any JSON.
    `on_crash`: the default for an unknown ending: `retry` if repeating with the same idempotency key is safe, `park` to
    ask a person, `fail` to give up.
    `target`: finds what the attempt calls; without it, the target is the connector with its connection.
    `is_immediate`: it calls nothing outside the process and needs no permit.
    `idempotent`: whether it can be repeated; None if the action does not say.
    `stored`: what a pipeline version keeps of the action, so that its runs go on with it when the connector changes;
    None for an action whose code is installed.
    `undo`: the action of the same connector that reverses the effect.
    `returns_pages`: whether a step gets its output in pages (see `Page`); None for an action that never does. The
    answer is part of the version that uses the action.

    Before an attempt starts, it waits for a permit of its pipeline and one of its target; its timeout does not run yet.
    """

    name: str
    perform: ActionFunction
    input: type[BaseModel]
    output: type[BaseModel] | None = None
    on_crash: OnCrash = "retry"
    summary: str = ""
    target: FindTarget | None = None
    is_immediate: bool = False
    idempotent: Idempotent | None = None
    stored: Stored | None = None
    undo: "Undo | None" = None
    returns_pages: ReturnsPages | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """The action of the same connector that reverses an effect. The expressions in `given`, its inputs, read the
    step's `inputs`, except secret ones, and its `output`. A step of a pipeline with a `flow.undo` gets it, unless the
    step says itself how it is undone."""

    action: str
    given: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Discovery:
    """How a connector learns which actions its service has, where no file says so.

    `source`: identifies the service that is asked; changes when the connector's file names another.
    `ask`: asks the service, and stores its answer where the connector's form finds it: the file is then loaded again.
    Raises `ActionError`.
    `problem`: why the actions are not known; None if they are.
    """

    source: str
    ask: Callable[[Context], Awaitable[None]]
    problem: str | None = None


class Connector:
    """A service and its actions.

    `name`: the part of `use:` before the dot.
    `actions`: by name. A connector with hundreds of them passes a mapping that makes each when it is first needed.
    `connection`: the model of its connections; None if it has none.
    `auth`: the ways in which its connections sign requests, each a mapping of schemes by name with their settings. All
    schemes of a mapping apply. The expressions in settings read `connection`; the first mapping is used whose names all
    have a value.
    `takes_auth`: connections say themselves, under `auth` in `connections.yaml`, which schemes sign their requests.
    `test`: the name of the action that proves that a connection works.
    `base_url`: where `context.http` sends its requests, unless the connection has a field `base_url`.
    `tests`: exchanges with the service and what comes of them, in the form of `tests` in the file of a connector.
    `skipped`: why parts of what describes the service are not actions, by the names that these would have.
    `limit`: what each of its connections may do, unless `connections.yaml` says otherwise.
    `discovery`: how its actions become known; None if its file, or its code, lists them.
    """

    __slots__ = (
        *("actions", "auth", "base_url", "connection", "discovery", "limit", "name"),
        *("skipped", "summary", "takes_auth", "test", "tests"),
    )

    def __init__(
        self,
        name: str,
        summary: str,
        actions: Iterable[Action] | Mapping[str, Action],
        connection: type[BaseModel] | None = None,
        *,
        auth: Sequence[Mapping[str, Any]] = (),
        takes_auth: bool = False,
        test: str | None = None,
        base_url: str | None = None,
        limit: Limit = NO_LIMIT,
        tests: Sequence[Mapping[str, Any]] = (),
        skipped: Mapping[str, str] = MappingProxyType({}),
        discovery: Discovery | None = None,
    ) -> None:
        """Raise `ValueError` if two of the listed actions have one name, or if `test` or an undo names none of them."""
        self.name = name
        self.summary = summary
        self.actions: Mapping[str, Action] = (
            actions if isinstance(actions, Mapping) else _index_actions(actions, {test} if test else set())
        )
        self.connection = connection
        self.auth = tuple(auth)
        self.takes_auth = takes_auth
        self.test = test
        self.base_url = base_url
        self.limit = limit
        self.tests = tuple(tests)
        self.skipped = skipped
        self.discovery = discovery


def _index_actions(actions: Iterable[Action], used: AbstractSet[str]) -> dict[str, Action]:
    """Return actions by name; raises `ValueError` if two have one name, or one that is used or undoes another does not
    exist."""
    named: dict[str, Action] = {}
    for each in actions:
        if named.setdefault(each.name, each) is not each:
            raise ValueError(f"two actions are named {quote(each.name)}")
    undoing = {each.undo.action for each in named.values() if each.undo}
    if missing := sorted((used | undoing) - named.keys()):
        raise ValueError(f"there is no action {quote(missing[0])}, which the connector's 'test' or an 'undo' names")
    return named


@dataclass(frozen=True, slots=True)
class LoadedConnector:
    """The connector that a file describes; None if the file has errors. `files` are the paths of others that it depends
    on."""

    connector: Connector | None
    problems: Sequence[Problem] = ()
    files: Sequence[str] = ()


class Form(Protocol):
    """A form in which connectors are written: reads a file in the operator's folder or in a package."""

    def load(self, path: str, data: bytes, memory: str | None = None, /) -> LoadedConnector:
        """Make the connector that the file at this path, with this content, describes. May take long; called in a
        thread. `memory` is a folder for what the form learns about services; it may not exist yet."""
        ...

    def scaffold(self, name: str, /) -> Mapping[str, str]:
        """Return the files of a new connector of this name, by their names, as a start for its author."""
        ...

    def make_schema(self) -> Mapping[str, Any] | None:
        """Return the JSON Schema of the form's files, for editors; None if there is none."""
        ...


class Inputs(BaseModel, extra="forbid"):
    """The base of the models of action inputs and of connections. Unknown names are errors.

    When a file is loaded, validators see its texts with the expressions in them, and `ValidationInfo.context` is a
    mapping: `connection` is the name of the step's connection, or None. In an attempt the context is None. If a text
    contains an expression, only a validator's `LiteralError` is reported.
    """


class LiteralError(ValueError):
    """A text is invalid whatever the values of its expressions; raised by validators of `Inputs`."""


def action(
    name: str,
    *,
    input: type[BaseModel],
    output: type[BaseModel] | None = None,
    idempotent: Idempotent | None = None,
    on_crash: OnCrash | None = None,
    undo: Undo | None = None,
    target: FindTarget | None = None,
    is_immediate: bool = False,
    returns_pages: ReturnsPages | bool = False,
) -> Callable[[ActionFunction], Action]:
    """Make an action from an async function. The first line of its docstring is the summary, and `on_crash` follows
    from `idempotent`. The other arguments are those of `Action`; `returns_pages` is also True if the action always
    returns a `Page`."""
    has_pages = returns_pages if callable(returns_pages) else always_returns_pages if returns_pages else None

    def make(perform: ActionFunction) -> Action:
        return Action(
            name,
            perform,
            input,
            output,
            on_crash or ("retry" if idempotent is None else ON_CRASH[idempotent]),
            (perform.__doc__ or "").strip().partition("\n")[0],
            target,
            is_immediate,
            idempotent,
            undo=undo,
            returns_pages=has_pages,
        )

    return make
