"""The messages in a run's inbox: requests and reports from outside the run.

Each struct encodes and decodes what the journal stores: a kind, and data as JSON. Both are stable, because a message
may stay in an inbox while Waypost is upgraded.
"""

from typing import Any, ClassVar, TypeAlias, get_args

import msgspec

from durable.history.words import EndStatus, Verdict
from durable.values import JSON, NULL, Value


class CancelMessage(msgspec.Struct, frozen=True):
    """End the run."""

    kind: ClassVar = "cancel"
    reason: str | None = None
    by: str | None = None


class SlotMessage(msgspec.Struct, frozen=True):
    """The run was granted a slot of its pipeline's concurrency. Its JSON is null."""

    kind: ClassVar = "slot"


class AnswerMessage(msgspec.Struct, frozen=True):
    """An answer to the wait at `path`. `name` is the name of a wait inside a `wait.any`; `by` is who answered."""

    kind: ClassVar = "answer"
    path: str
    name: str
    data: Any
    by: str | None = None


class EventMessage(msgspec.Struct, frozen=True):
    """The id of an event that matches a wait."""

    kind: ClassVar = "event"
    path: str
    name: str
    event: str


class TimerMessage(msgspec.Struct, frozen=True):
    """The timer of the wait at `path` has fired."""

    kind: ClassVar = "timer"
    path: str


class ChildMessage(msgspec.Struct, frozen=True):
    """The run that the step at `path` called has ended."""

    kind: ClassVar = "child"
    path: str
    run: str
    status: EndStatus
    outputs: Any
    error: dict[str, Any] | None


class ResolveMessage(msgspec.Struct, frozen=True):
    """A person's decision about the step at `path`."""

    kind: ClassVar = "resolve"
    path: str
    verdict: Verdict
    output: Any
    by: str | None
    reason: str | None


class ResumeMessage(msgspec.Struct, frozen=True):
    """Resume the paused run."""

    kind: ClassVar = "resume"
    by: str | None
    reason: str | None


class RetryMessage(msgspec.Struct, frozen=True):
    """Continue the failed run, which was reopened in the same commit."""

    kind: ClassVar = "retry"
    by: str | None
    reason: str | None


InboxMessage: TypeAlias = (
    CancelMessage
    | SlotMessage
    | AnswerMessage
    | EventMessage
    | TimerMessage
    | ChildMessage
    | ResolveMessage
    | ResumeMessage
    | RetryMessage
)

_KINDS: dict[str, type[InboxMessage]] = {each.kind: each for each in get_args(InboxMessage)}


def encode_message(message: InboxMessage) -> tuple[str, Value]:
    """Return a message as the journal stores it: its kind and its data. Raises `NotJSON`."""
    if isinstance(message, SlotMessage):
        return message.kind, NULL
    return message.kind, Value.of(msgspec.structs.asdict(message))


def decode_message(kind: str, data: JSON) -> InboxMessage:
    """Decode a stored message; raises `ValueError` if the kind is unknown or the data do not match it."""
    if kind not in _KINDS:
        raise ValueError(f"is of the kind `{kind}`, which this Waypost does not know")
    try:
        return msgspec.convert(data or {}, _KINDS[kind])
    except msgspec.ValidationError as error:
        raise ValueError(f"of the kind `{kind}` is damaged ({error})") from error
