"""Reads a run's inbox: converts its messages to facts."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, assert_never

from durable.decide.attempts import DETAILS_LIMIT
from durable.history.entries import (
    CancelRequested,
    ChildEnded,
    Fact,
    RunResumed,
    RunRetried,
    SignalReceived,
    SlotGranted,
    StepResolved,
    TimerFired,
)
from durable.history.words import Failure
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.messages import (
    AnswerMessage,
    CancelMessage,
    ChildMessage,
    EventMessage,
    InboxMessage,
    ResolveMessage,
    ResumeMessage,
    RetryMessage,
    SlotMessage,
    TimerMessage,
    decode_message,
)
from durable.runner.payloads import call_with_payloads
from durable.units import Event, Message
from durable.values import Value

log = logging.getLogger("waypost.run")


class InboxReader:
    """Reads inboxes, including the payloads and events that messages refer to."""

    def __init__(self, journal: Journal, payload: Callable[[str], Awaitable[bytes]], now: Callable[[], int]) -> None:
        self._journal = journal
        self._payload = payload
        self._now = now

    async def list_messages(self, run: str) -> Sequence[Message]:
        """Return the messages in a run's inbox, oldest first."""
        return await self._journal.list_messages(run)

    async def make_fact(self, message: Message) -> Fact | None:
        """Return the fact that a message reports; None if it is obsolete.

        Raises `RunUnreadable` if the message cannot be read. It remains in the inbox, for a newer Waypost.
        """
        data = await call_with_payloads(message.data.load, self._payload)
        try:
            decoded = decode_message(message.kind, data)
        except ValueError as error:
            raise RunUnreadable(message.run, f"message {message.id} in its inbox {error}") from error
        event = await self._find_event(decoded.event) if isinstance(decoded, EventMessage) else None
        if isinstance(decoded, EventMessage) and event is None:
            log.warning("the event of a message no longer exists: %s", decoded.event, extra={"run": message.run})
            return None
        return make_fact(decoded, message.at, event, self._now())

    async def _find_event(self, id: str) -> Event | None:
        event = await self._journal.find_event(id)
        if event and event.data.ref and not event.data.is_loaded:
            event.data.attach(await self._payload(event.data.ref))
        return event


def make_fact(message: InboxMessage, posted_at: int, event: Event | None, at: int) -> Fact:
    """Return the fact that a message reports at that time (ms); `event` is that of an `EventMessage`."""
    match message:
        case CancelMessage(reason, by):
            return CancelRequested(at=at, reason=reason, by=by or None)
        case SlotMessage():
            return SlotGranted(at=at)
        case AnswerMessage(path, name, data, by):
            return SignalReceived(at=at, path=path, name=name, data=Value.of(data), by=by)
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
        case ResumeMessage(by, reason):
            return RunResumed(at=at, by=by or None, reason=reason or None)
        case RetryMessage(by, reason):
            return RunRetried(at=at, by=by or None, reason=reason or None)
    assert_never(message)


def _describe_event(event: Event | None) -> Value:
    """Return an event as steps read it."""
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
    """Return the failure of a called run."""
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
