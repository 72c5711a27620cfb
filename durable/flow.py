"""The actions that the core performs itself: what `flow.*` and `wait.*` are given.

They are no connectors: they change what happens next in the run and touch nothing outside the journal.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from durable.action import Inputs
from durable.language.pipeline import Duration


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

    steps: list[str] | None = Field(None, description="The steps to undo; default: all that registered an undo")


class Emit(Inputs):
    """Send an event to pipelines that listen for it."""

    type: str = Field(description="The event's type")
    subject: str | None = Field(None, description="The correlation key that a waiting step matches")
    data: Any = Field(None, description="The event's data")


class Delay(Inputs):
    """Wait for a while."""

    duration: Duration = Field(alias="for", description="How long: 500ms, 30s, 5m, 2h, 7d")


class Until(Inputs):
    """Wait for a moment."""

    time: str = Field(description="An ISO 8601 time with its zone")


class Webhook(Inputs):
    """Wait for one request on a single-use address."""

    title: str | None = Field(None, description="What is asked, for the one who opens the address")


class Approval(Inputs):
    """Wait for a person's decision."""

    to: str | list[str] = Field(description="Who is asked")
    title: str = Field(description="What is asked")
    fields: dict[str, Any] | None = Field(None, description="JSON Schema of what the person fills in")


class AwaitEvent(Inputs):
    """Wait for an event."""

    type: str = Field(description="The event's type")
    match: str | None = Field(None, description="The correlation key")
    look_back: Duration | None = Field(None, description="How far back an earlier event counts")


class AwaitAny(Inputs):
    """Wait for the first of several; the others are cancelled."""

    waits: dict[str, dict[str, Any]] = Field(description="The waits by name")


CORE_ACTIONS: dict[str, type[BaseModel]] = {
    "flow.stop": Stop,
    "flow.fail": Fail,
    "flow.call": Call,
    "flow.undo": Undo,
    "flow.emit": Emit,
    "wait.delay": Delay,
    "wait.until": Until,
    "wait.webhook": Webhook,
    "wait.approval": Approval,
    "wait.event": AwaitEvent,
    "wait.any": AwaitAny,
}
