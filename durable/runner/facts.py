"""The facts that inbox messages report: what a run's history keeps of them."""

from typing import Any, assert_never

from durable.decide.attempts import DETAILS_LIMIT
from durable.history.entries import (
    CancelRequested,
    ChildEnded,
    Fact,
    RunResumed,
    SignalReceived,
    SlotGranted,
    StepResolved,
    TimerFired,
)
from durable.history.words import Failure
from durable.messages import (
    AnswerMessage,
    CancelMessage,
    ChildMessage,
    EventMessage,
    InboxMessage,
    ResolveMessage,
    ResumeMessage,
    SlotMessage,
    TimerMessage,
)
from durable.units import Event
from durable.values import Value


def make_fact(message: InboxMessage, posted_at: int, event: Event | None, at: int) -> Fact:
    """The fact that a message reports at that time (ms); `event` is that of an `EventMessage`."""
    match message:
        case CancelMessage(reason):
            return CancelRequested(at=at, reason=reason)
        case SlotMessage():
            return SlotGranted(at=at)
        case AnswerMessage(path, name, data):
            return SignalReceived(at=at, path=path, name=name, data=Value.of(data))
        case EventMessage(path, name):
            return SignalReceived(at=at, path=path, name=name, data=_describe_event(event))
        case TimerMessage(path):
            return TimerFired(at=max(at, posted_at), path=path)  # the clock may have been set back
        case ChildMessage(path, run, status, outputs, error):
            return ChildEnded(
                at=at, path=path, run=run, status=status, outputs=Value.of(outputs), error=_make_failure(error)
            )
        case ResolveMessage(path, verdict, output, by, reason):
            return StepResolved(
                at=at, path=path, verdict=verdict, output=Value.of(output), by=by or None, reason=reason or None
            )
        case ResumeMessage(by):
            return RunResumed(at=at, by=by or None)
    assert_never(message)


def _describe_event(event: Event | None) -> Value:
    """An event as a step reads it."""
    assert event
    return Value.of(
        {
            "id": event.key,
            "type": event.type,
            "source": event.source,
            "subject": event.subject,
            "time": event.time,
            "data": event.data.load(),
        }
    )


def _make_failure(error: dict[str, Any] | None) -> Failure | None:
    """The failure with which a called run ended."""
    if error is None:
        return None
    details = Value.of(error.get("details"))
    return Failure.of(
        error.get("class"),
        error.get("code"),
        error.get("message"),
        error.get("step"),
        details=details if details.size <= DETAILS_LIMIT else Value.of(None),
    )
