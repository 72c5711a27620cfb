"""The port between the core and a connector: what an action is, what it is given, and how it fails.

    ActionError              an attempt ended with an answer, or certainly did not happen
    ├── AttemptEnded         the attempt is over (timeout, cancel, lost lease): its context refuses everything
    └── ConnectionMissing    the connection that the step names cannot be had

An exception of any other class is an unknown ending of class `internal`.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, Field

from durable.values import JSON

ErrorClass: TypeAlias = Literal[
    "network", "timeout", "rate_limit", "server", "client", "auth", "invalid", "internal", "crash"
]

Ending: TypeAlias = Literal["not_sent", "answered", "unknown"]
"""How an attempt ended: it certainly did not happen, it has an answer, or nobody can know."""

OnCrash: TypeAlias = Literal["retry", "park", "fail"]

Secret = Annotated[str, Field(json_schema_extra={"secret": True})]
"""Text in which `{{ secrets.NAME }}` may stand; checked when a pipeline is loaded."""

URL = Annotated[str, Field(json_schema_extra={"secret": True, "url": True})]
"""A URL: an expression in it is one percent-encoded value, and cannot lead elsewhere. A secret may stand in it too."""

Resource = TypeVar("Resource")

FindTarget: TypeAlias = Callable[[Any, BaseModel | None], str | None]
"""What an attempt is made at, from the action's input and its connection: the address of a service, say
(`https://api.example.com`). None where that cannot be told from them."""


TARGET_LIMIT = 128
"""Attempts at one target at once, and connections to it."""


class ActionError(Exception):
    """An attempt failed.

    `error_class` is what a retry policy names; `code` is the service's own word for it; `ending` says whether the
    effect certainly did not happen (`not_sent`), was answered, or is unknown; `retry_after` is in seconds.
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
    """What a context answers once its attempt is over."""

    def __init__(self) -> None:
        super().__init__(
            "the attempt is over; its context does nothing more", error_class="internal", ending="not_sent"
        )


class ConnectionMissing(ActionError):
    """The connection that a step names is not there, or is another connector's."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_class="auth", code="connection_missing", ending="not_sent")


@dataclass(slots=True)
class Context:
    """What an action knows of the attempt that it performs.

    `key` is the step's idempotency key, the same in every attempt. `resources` are the shared things that the
    composition root offers, by class (the HTTP client, say). `connection` is what the step's connection says, of the
    connector's own model, with its secrets in it; None if the step names none.
    """

    run: str
    path: str
    attempt: int
    key: str
    log: logging.LoggerAdapter[logging.Logger]
    resources: Mapping[type, object] = field(default_factory=dict)
    connection: BaseModel | None = field(default=None, repr=False)
    timer: "Timer | None" = field(default=None, repr=False)
    is_open: bool = True
    _requests: int = 0

    def ensure_open(self) -> None:
        """Raise `AttemptEnded` once the attempt is over; to be called right before every effect."""
        if not self.is_open:
            raise AttemptEnded

    def next_key(self) -> str:
        """The idempotency key of the attempt's next request: `key`, then `key-2`, `key-3` …"""
        if not self.is_open:
            raise AttemptEnded
        self._requests += 1
        return self.key if self._requests == 1 else f"{self.key}-{self._requests}"

    def resource(self, kind: type[Resource]) -> Resource:
        """The shared thing of that class; raises `LookupError` if the service offers none."""
        if not self.is_open:
            raise AttemptEnded
        found = self.resources.get(kind)
        if not isinstance(found, kind):
            raise LookupError(f"no {kind.__name__} is offered to actions")
        return found

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Wait for one of Waypost's own limits: the attempt's timeout stands still, and the run says what it waits for
        ("a connection to https://api.example.com")."""
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
        """The answer is there: what is left to do is our own work, which no timeout cuts off."""
        if self.timer:
            self.timer.cancel()

    def close(self) -> None:
        self.is_open = False


class Timer(Protocol):
    """The timeout of an attempt, which can stand still. `waits` are what the attempt waits for meanwhile."""

    waits: list[str]

    def suspend(self, what: str) -> None:
        """Stop the clock, while the attempt waits for this."""
        ...

    def resume(self, what: str) -> None:
        """Let the clock go on, once it waits for nothing more."""
        ...

    def cancel(self) -> None:
        """Stop the clock for good."""
        ...


class ActionFunction(Protocol):
    """An action's function: its inputs as the model `Input`, its output as JSON or as the model `Output`."""

    def __call__(self, context: Context, input: Any, /) -> "Awaitable[BaseModel | JSON]": ...


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a connector does: `name` is the part of `use:` behind the dot.

    `input` and `output` are the models of what goes in and comes out (an output of None is any JSON). `on_crash` is
    what an unknown ending means unless the step says otherwise: `retry` where repeating under the same idempotency
    key is safe, `park` where only a person can tell, `fail` to give up.

    An attempt waits for a slot until its pipeline and its target have room for one more; that is no attempt yet, and no
    timeout runs. `target` tells what the attempt is made at; without it, that is the connector with its connection. An
    action that `is_immediate` waits for nothing outside, and takes no slot.
    """

    name: str
    perform: ActionFunction
    input: type[BaseModel]
    output: type[BaseModel] | None = None
    on_crash: OnCrash = "retry"
    summary: str = ""
    target: FindTarget | None = None
    is_immediate: bool = False


@dataclass(frozen=True, slots=True)
class Connector:
    """A service and what can be done with it: `name` is the part of `use:` before the dot. `connection` is the model of
    what a connection of it says; None if it takes none."""

    name: str
    summary: str
    actions: tuple[Action, ...]
    connection: type[BaseModel] | None = None


class Inputs(BaseModel, extra="forbid"):
    """The model that an action's inputs and a connection derive from: unknown names are errors.

    When a file is loaded, validators see its texts with their expressions as they are written, and their
    `ValidationInfo.context` is a mapping: `connection` is the name of the step's connection, or None. In an attempt the
    context is None. What a validator finds wrong with a text in which an expression stands counts only as a
    `LiteralError`.
    """


class LiteralError(ValueError):
    """What is wrong with the literal part of a text, whatever its expressions give; for a validator of `Inputs`."""


class TriggerInputs(Inputs):
    """The model that what a kind of trigger is given derives from; `arrival` are the parts that `trigger` then has."""

    arrival: ClassVar[frozenset[str]] = frozenset({"id", "type", "time", "source", "subject"})

    @classmethod
    def withheld_headers(cls, given: Mapping[str, JSON]) -> frozenset[str]:
        """The headers that no event keeps, in lower case; `given` need not be valid."""
        return frozenset()


def action(
    name: str,
    *,
    input: type[BaseModel],
    output: type[BaseModel] | None = None,
    on_crash: OnCrash = "retry",
    target: FindTarget | None = None,
    is_immediate: bool = False,
) -> Callable[[ActionFunction], Action]:
    """Make an action of an async function; the first line of its docstring is the summary."""

    def make(perform: ActionFunction) -> Action:
        summary = (perform.__doc__ or "").strip().partition("\n")[0]
        return Action(name, perform, input, output, on_crash, summary, target, is_immediate)

    return make
