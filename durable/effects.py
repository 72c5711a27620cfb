"""Effects and follow-ups: what the core asks the engine to do, and what it has yet to decide.

The engine performs an *effect* after it has committed the entries; `PostMessage`, `RetryChild` and `Listen` are written
in that same commit. The core processes *follow-ups* in order and drops those that an earlier decision has made
obsolete.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from durable.history.entries import AnyEntry
from durable.values import Value


class Perform(msgspec.Struct, frozen=True):
    """Perform an attempt of a step, not before `due` (ms). `starts_durably`: commit `AttemptStarted` first."""

    path: str
    attempt: int
    due: int
    starts_durably: bool = False


class Abandon(msgspec.Struct, frozen=True):
    """Stop a step's attempt, timer, subscription or call: its result is no longer needed."""

    path: str


class AwaitStart(msgspec.Struct, frozen=True):
    """Report `StartDue` at `due` (ms). A run with `expires_at` may still wait for a slot after that; report `StartDue`
    again when it expires."""

    due: int
    expires_at: int | None = None


class AwaitSlot(msgspec.Struct, frozen=True):
    """Report `SlotGranted` when the run gets a slot of its pipeline's concurrency."""


class Wake(msgspec.Struct, frozen=True):
    """Report `TimerFired` at `due` (ms)."""

    path: str
    due: int


class Listen(msgspec.Struct, frozen=True):
    """Report the first event of this type since `since` (ms) as a signal. With `match`, only an event with this
    subject."""

    path: str
    name: str
    type: str
    match: str | None
    since: int


class StartChild(msgspec.Struct, frozen=True):
    """Start the run that a `flow.call` calls, under this id. Idempotent. `is_again`: the step is reopened, and the run
    may have started, and ended, before."""

    path: str
    run: str
    is_again: bool = False


class RetryChild(msgspec.Struct, frozen=True):
    """Retry the run that a reopened `flow.call` has called, if it failed, or was cancelled because the step ended. If
    it never started, let it start. A detached run is not retried."""

    path: str
    run: str
    is_detached: bool = False


class EmitEvent(msgspec.Struct, frozen=True):
    """Send the event of a `flow.emit`, and report the step's checkpoint. Idempotent."""

    path: str


class PublishAnswer(msgspec.Struct, frozen=True):
    """Send the run's answer to the client that sent the event, if it is still waiting."""


class PostMessage(msgspec.Struct, frozen=True):
    """Put a message into another run's inbox."""

    run: str
    kind: str
    data: Value


class HoldFork(msgspec.Struct, frozen=True):
    """A fork has reached the step from which it goes on; `RunForked` follows. Only the copying of a run sees it."""

    path: str


class Resume(msgspec.Struct, frozen=True):
    """A paused run was resumed: perform its outstanding effects that are not in progress."""


Effect: TypeAlias = (
    Perform
    | Abandon
    | AwaitStart
    | AwaitSlot
    | Wake
    | Listen
    | StartChild
    | RetryChild
    | EmitEvent
    | PublishAnswer
    | PostMessage
    | HoldFork
    | Resume
)


class EnterStep(msgspec.Struct, frozen=True):
    """Start a step, or skip it."""

    at: int
    path: str


class BeginBranch(msgspec.Struct, frozen=True):
    """Start a branch of a block; in a loop, the next `count` items or turns."""

    at: int
    path: str
    branch: str
    count: int = 1


FollowUp: TypeAlias = AnyEntry | EnterStep | BeginBranch
Consequences: TypeAlias = tuple[Sequence[FollowUp], Sequence[Effect]]
