"""The actions that the core performs itself: what `flow.*` and `wait.*` are given.

They are no connectors: they change what happens next in the run and touch nothing outside the journal.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from durable.action import Inputs
from durable.declared import write_texts
from durable.durations import Duration, parse_moment
from durable.respond import Respond
from durable.spec_model import Identifier
from durable.values import JSON


def _read_key(value: object) -> object:
    """A correlation key as text. One that came to null is a mistake: it would fit everybody's."""
    if value is None:
        raise ValueError("it is null; leave it out where none is meant")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


CorrelationKey: TypeAlias = Annotated[str | None, BeforeValidator(_read_key, json_schema_input_type=str | int | float)]


class Stop(Inputs):
    """End the run here."""

    status: Literal["completed", "cancelled"] = Field("completed", description="The status with which the run ends")
    reason: str | None = Field(None, description="Why, for the people who read the run")


class Fail(Inputs):
    """End the run as failed; `on_failure` follows."""

    message: str = Field(description="What went wrong, for the people who read the run")
    code: str | None = Field(None, description="A word by which programs can tell this failure from others")


class Call(Inputs):
    """Run another pipeline and wait for its outputs."""

    pipeline: str = Field(description="The pipeline's id")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Its inputs")
    detach: bool = Field(False, description="Go on without waiting for it")


class Undo(Inputs):
    """Perform the undo of named steps, or of all, in reverse order."""

    steps: list[Identifier] | None = Field(
        None, min_length=1, description="The steps to undo, or blocks with steps in them; default: all"
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _is_said(cls, steps: object) -> object:
        if steps is None:
            raise ValueError("it is null; leave it out to undo all")
        return steps


class Emit(Inputs):
    """Send an event to pipelines that listen for it."""

    type: str = Field(description="The event's type")
    subject: CorrelationKey = Field(None, description="The correlation key that a waiting step matches")
    data: Any = Field(None, description="The event's data")


class Delay(Inputs):
    """Wait for a while."""

    duration: Duration = Field(alias="for", description="How long: 500ms, 30s, 5m, 2h, 7d")


class Until(Inputs):
    """Wait for a moment."""

    time: str = Field(description="An ISO 8601 time with its zone, such as 2027-01-31T09:00:00+01:00")

    @field_validator("time")
    @classmethod
    def _is_moment(cls, text: str) -> str:
        parse_moment(text)
        return text


class Webhook(Inputs):
    """Wait for one request on a single-use address."""

    title: str | None = Field(None, description="What is asked, for the one who opens the address")


class Approval(Inputs):
    """Wait for a person's decision."""

    to: str | list[str] = Field(description="Who is asked")
    title: str = Field(description="What is asked")
    fields: dict[str, Any] | None = Field(None, description="What the person fills in: JSON Schemas by name")


class AwaitEvent(Inputs):
    """Wait for an event."""

    type: str = Field(description="The event's type")
    match: CorrelationKey = Field(
        None, description="The correlation key, the event's subject; default: any event of the type"
    )
    look_back: Duration | None = Field(None, description="How far back an earlier event counts")


class Waited(Inputs):
    """One of the waits of a `wait.any`."""

    use: Literal["wait.delay", "wait.until", "wait.webhook", "wait.approval", "wait.event"] = Field(
        description="What is waited for"
    )
    with_: dict[str, Any] | None = Field(None, alias="with", description="The wait's inputs")


class AwaitAny(Inputs):
    """Wait for the first of several; the others are cancelled."""

    waits: dict[Identifier, Waited] = Field(min_length=1, description="The waits by name")


CORE_ACTIONS: dict[str, type[BaseModel]] = {
    "flow.stop": Stop,
    "flow.fail": Fail,
    "flow.call": Call,
    "flow.undo": Undo,
    "flow.emit": Emit,
    "flow.respond": Respond,
    "wait.delay": Delay,
    "wait.until": Until,
    "wait.webhook": Webhook,
    "wait.approval": Approval,
    "wait.event": AwaitEvent,
    "wait.any": AwaitAny,
}


def write_input(use: str, given: JSON) -> JSON:
    """The input of a core action, with numbers, true and false as texts where nothing else is taken."""
    if use not in CORE_ACTIONS or not isinstance(given, dict):
        return given
    if use == "wait.any" and isinstance(waits := given.get("waits"), dict):
        return {**given, "waits": {name: _write_wait(wait) for name, wait in waits.items()}}
    return write_texts(CORE_ACTIONS[use], given)


def _write_wait(wait: JSON) -> JSON:
    """One of the waits of a `wait.any`."""
    if not isinstance(wait, dict) or not isinstance(use := wait.get("use"), str) or use == "wait.any":
        return wait
    return {**wait, "with": write_input(use, wait["with"])} if "with" in wait else wait


LINKED = frozenset({"wait.webhook", "wait.approval"})
"""Waits that somebody answers by a link."""
