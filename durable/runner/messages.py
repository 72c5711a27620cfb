"""What others want of a run, from its inbox, as facts of its history."""

from collections.abc import Awaitable, Callable

from durable.decide.attempts import DETAILS_LIMIT
from durable.history import (
    CancelRequested,
    ChildEnded,
    Fact,
    Failure,
    RunResumed,
    SignalReceived,
    SlotGranted,
    StepResolved,
    TimerFired,
)
from durable.journal import Event, Message, RunUnreadable
from durable.values import JSON, Value

FindEvent = Callable[[str], Awaitable[Event | None]]


async def read_message(message: Message, data: JSON, find_event: FindEvent, at: int) -> Fact | None:
    """The fact that a message reports, whose `data` is loaded; None if it says nothing any more.

    Raises `RunUnreadable` for a kind that is not known: the message stays, for a newer Waypost.
    """
    given = data if isinstance(data, dict) else {}
    match message.kind:
        case "cancel":
            return CancelRequested(at=at, reason=data if isinstance(data, str) else None)
        case "slot":
            return SlotGranted(at=at)
        case "answer":
            return SignalReceived(at=at, path=_text(given, "path"), name=_text(given, "name"), data=_value(given))
        case "event":
            event = await find_event(_text(given, "event"))
            if event is None:
                return None
            return SignalReceived(at=at, path=_text(given, "path"), name=_text(given, "name"), data=_told(event))
        case "timer":
            return TimerFired(at=max(at, message.at), path=_text(given, "path"))  # the clock may have been set back
        case "child":
            return _child_ended(given, at)
        case "resolve":
            return _resolved(given, at)
        case "resume":
            return RunResumed(at=at, by=_optional(given, "by"))
    what = f"message {message.id} in its inbox is of the kind `{message.kind}`, which this Waypost does not know"
    raise RunUnreadable(message.run, what)


def _text(given: dict[str, JSON], name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""


def _optional(given: dict[str, JSON], name: str) -> str | None:
    return _text(given, name) or None


def _value(given: dict[str, JSON]) -> Value:
    return Value.of(given.get("data"))


def _told(event: Event) -> Value:
    """An event as a step reads it."""
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


def _child_ended(given: dict[str, JSON], at: int) -> ChildEnded:
    status = _text(given, "status")
    return ChildEnded(
        at=at,
        path=_text(given, "path"),
        run=_optional(given, "run"),
        status="completed" if status == "completed" else "cancelled" if status == "cancelled" else "failed",
        outputs=Value.of(given.get("outputs")),
        error=_failure(given.get("error")),
    )


def _failure(error: JSON) -> Failure | None:
    """A failure as the called run told it."""
    if not isinstance(error, dict):
        return None
    details = Value.of(error.get("details"))
    return Failure.of(
        error.get("class"),  # type: ignore[arg-type]  # what the core makes of it is checked there
        error.get("code"),
        error.get("message"),
        _optional(error, "step"),
        details=details if details.size <= DETAILS_LIMIT else Value.of(None),
    )


def _resolved(given: dict[str, JSON], at: int) -> StepResolved:
    verdict = _text(given, "verdict")
    return StepResolved(
        at=at,
        path=_text(given, "path"),
        verdict="completed" if verdict == "completed" else "retry" if verdict == "retry" else "failed",
        output=Value.of(given.get("output")),
        by=_optional(given, "by"),
        reason=_optional(given, "reason"),
    )
