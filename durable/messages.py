"""Inbox messages: what others want of a run, each a struct that writes and reads what the journal stores.

The journal keeps a message's kind and its data as JSON. Both are stable: a message may wait in an inbox while Waypost
is updated.
"""

from typing import Any, ClassVar, TypeAlias, get_args

import msgspec

from durable.history.words import EndStatus, Verdict
from durable.values import JSON, NULL, Value


class CancelMessage(msgspec.Struct, frozen=True):
    """End the run. Its JSON is the reason alone."""

    kind: ClassVar = "cancel"
    reason: str | None = None


class SlotMessage(msgspec.Struct, frozen=True):
    """The run was granted a slot of its pipeline's concurrency. Its JSON is null."""

    kind: ClassVar = "slot"


class AnswerMessage(msgspec.Struct, frozen=True):
    """An answer to the wait at `path`; `name` is that of one wait of a `wait.any`."""

    kind: ClassVar = "answer"
    path: str
    name: str
    data: Any


class EventMessage(msgspec.Struct, frozen=True):
    """An event (its id) that matches a wait."""

    kind: ClassVar = "event"
    path: str
    name: str
    event: str


class TimerMessage(msgspec.Struct, frozen=True):
    """The time of the wait at `path` is over."""

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
    """What a person decided for the step at `path`."""

    kind: ClassVar = "resolve"
    path: str
    verdict: Verdict
    output: Any
    by: str | None
    reason: str | None


class ResumeMessage(msgspec.Struct, frozen=True):
    """Let the paused run go on."""

    kind: ClassVar = "resume"
    by: str | None


InboxMessage: TypeAlias = (
    CancelMessage
    | SlotMessage
    | AnswerMessage
    | EventMessage
    | TimerMessage
    | ChildMessage
    | ResolveMessage
    | ResumeMessage
)

_KINDS: dict[str, type[InboxMessage]] = {each.kind: each for each in get_args(InboxMessage)}


def encode_message(message: InboxMessage) -> tuple[str, Value]:
    """A message as the journal stores it: its kind and its data. Raises `NotJSON`."""
    match message:
        case CancelMessage(reason):
            return message.kind, Value.of(reason)
        case SlotMessage():
            return message.kind, NULL
    return message.kind, Value.of(msgspec.structs.asdict(message))


def decode_message(kind: str, data: JSON) -> InboxMessage:
    """A stored message; raises `ValueError` for a kind that is unknown and for data that do not fit it."""
    if kind not in _KINDS:
        raise ValueError(f"is of the kind `{kind}`, which this Waypost does not know")
    fields = {"reason": data} if kind == CancelMessage.kind else data or {}
    try:
        return msgspec.convert(fields, _KINDS[kind])
    except msgspec.ValidationError as error:
        raise ValueError(f"of the kind `{kind}` is damaged ({error})") from error
