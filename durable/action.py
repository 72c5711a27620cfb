"""The interface of a connector: its actions, what they are given, and how they fail.

    ActionError              an attempt failed, and says what is known of its effect
    ├── AttemptEnded         the attempt is over (timeout, cancel, lost lease): its context refuses everything
    └── ConnectionMissing    there is no such connection, or it belongs to another connector

With any other exception an attempt ends as unknown, with the class `internal`.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, Field

from durable.problem import DataProblem, Pointer
from durable.values import JSON

ErrorClass: TypeAlias = Literal[
    "network", "timeout", "rate_limit", "server", "client", "auth", "invalid", "internal", "crash"
]

Ending: TypeAlias = Literal["not_sent", "answered", "unknown"]
"""How an attempt ended: its effect certainly did not happen, the service answered, or that is unknown."""

OnCrash: TypeAlias = Literal["retry", "park", "fail"]

Secret = Annotated[str, Field(json_schema_extra={"secret": True})]
"""Text that may contain `{{ secrets.NAME }}`; checked when a pipeline is loaded."""

URL = Annotated[str, Field(json_schema_extra={"secret": True, "url": True})]
"""A URL that may contain secrets. An expression in it is one percent-encoded value, so it cannot lead elsewhere."""

Resource = TypeVar("Resource")

FindTarget: TypeAlias = Callable[[Any, BaseModel | None], str | None]
"""Finds what an attempt calls from the action's input and its connection: the address of a service, say
(`https://api.example.com`). None where these do not show it."""

TARGET_LIMIT = 128
"""How many attempts call one target at once, and connections to it."""


class ActionError(Exception):
    """An attempt failed.

    `error_class` is what a retry policy names; `code` is the service's own; `ending` says whether the effect certainly
    did not happen (`not_sent`), the service answered (`answered`), or that is unknown; `retry_after` is in seconds.
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
    """The attempt is over, and its context does nothing more."""

    def __init__(self) -> None:
        super().__init__(
            "the attempt is over; its context does nothing more", error_class="internal", ending="not_sent"
        )


class ConnectionMissing(ActionError):
    """The connection that a step names does not exist, or belongs to another connector."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_class="auth", code="connection_missing", ending="not_sent")


@dataclass(slots=True)
class Context:
    """The attempt, for its action.

    `key` is the step's idempotency key, the same in every attempt. `resources` are what actions share, by class (the
    HTTP client, say); the composition root makes them. `connection` is the step's connection, an instance of the
    connector's model with the secrets filled in; None if the step names none.
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
        """Raise `AttemptEnded` once the attempt is over; call it right before every effect."""
        if not self.is_open:
            raise AttemptEnded

    def next_key(self) -> str:
        """The idempotency key of the attempt's next request: `key`, then `key-2`, `key-3` …"""
        if not self.is_open:
            raise AttemptEnded
        self._requests += 1
        return self.key if self._requests == 1 else f"{self.key}-{self._requests}"

    def resource(self, kind: type[Resource]) -> Resource:
        """The shared instance of that class; raises `LookupError` if the service has none."""
        if not self.is_open:
            raise AttemptEnded
        found = self.resources.get(kind)
        if not isinstance(found, kind):
            raise LookupError(f"no {kind.__name__} is offered to actions")
        return found

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A wait for one of Waypost's own limits: the attempt's timeout is suspended, and the run shows what it waits
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
        """The response is there: the rest is our own work, which no timeout interrupts."""
        if self.timer:
            self.timer.cancel()

    def close(self) -> None:
        self.is_open = False


class Timer(Protocol):
    """The timeout of an attempt, which can be suspended. `waits` is what the attempt waits for meanwhile."""

    waits: list[str]

    def suspend(self, what: str) -> None:
        """Stop the clock while the attempt waits for this."""
        ...

    def resume(self, what: str) -> None:
        """Start the clock again once the attempt waits for nothing more."""
        ...

    def cancel(self) -> None:
        """Stop the clock for good."""
        ...


class ActionFunction(Protocol):
    """An action's function: takes an instance of its input model; returns JSON or an instance of its output model."""

    def __call__(self, context: Context, input: Any, /) -> "Awaitable[BaseModel | JSON]": ...


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a connector does: `name` is the part of `use:` after the dot.

    `input` and `output` are the models of its inputs and its output (an output of None is any JSON). `on_crash` is
    what follows an unknown ending unless the step says otherwise: `retry` where repeating with the same idempotency
    key is safe, `park` where a person has to decide, `fail` to give up.

    An attempt first waits for a permit of its pipeline and of its target; meanwhile it has not begun, and no timeout
    runs. `target` finds what the attempt calls; without it, that is the connector with its connection. An action that
    `is_immediate` calls nothing outside, and takes no permit.
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
    its connections; None if it takes none."""

    name: str
    summary: str
    actions: tuple[Action, ...]
    connection: type[BaseModel] | None = None


class Inputs(BaseModel, extra="forbid"):
    """The base of models of an action's inputs and of a connection: unknown names are errors.

    When a file is loaded, validators see its texts with the expressions in them, and `ValidationInfo.context` is a
    mapping: `connection` is the name of the step's connection, or None. In an attempt the context is None. For a text
    that contains an expression, only a `LiteralError` of a validator counts.
    """


class LiteralError(ValueError):
    """A text is wrong whatever the values of its expressions; for validators of `Inputs`."""


class TriggerInputs(Inputs):
    """The base of models of a trigger's inputs. `arrival` are the parts of `trigger` that its events have,
    `identifying` the inputs that tell deliveries apart. The methods take inputs that may be invalid."""

    arrival: ClassVar[frozenset[str]] = frozenset({"id", "type", "time", "source", "subject"})
    identifying: ClassVar[tuple[Pointer, ...]] = ()

    @classmethod
    def withheld_headers(cls, given: Mapping[str, JSON]) -> frozenset[str]:
        """The headers that are not stored with events, in lower case."""
        return frozenset()

    @classmethod
    def find_path_parameters(cls, given: Mapping[str, JSON]) -> Collection[str] | None:
        """The names that `trigger.path` has; None if they are unknown."""
        return None

    @classmethod
    def find_doubts(cls, given: Mapping[str, JSON]) -> Iterator[DataProblem]:
        """Warnings about valid inputs that are probably mistakes."""
        return iter(())


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
