"""What the core asks of the engine, and what it still has to decide on itself.

An *effect* is performed after the commit of the entries that came with it; `PostMessage` and `Listen` are written in
that same commit. A *follow-up* is looked at by the core when its turn comes: a decision taken before it may have made
it pointless.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from durable.history.entries import AnyEntry
from durable.values import Value


class Perform(msgspec.Struct, frozen=True):
    """Perform this attempt of a step, not before `due` (ms). If it `starts_durably`, its start is committed first."""

    path: str
    attempt: int
    due: int
    starts_durably: bool = False


class Abandon(msgspec.Struct, frozen=True):
    """Stop whatever is under way for a step (attempt, timer, subscription, call): its result is no longer needed."""

    path: str


class AwaitStart(msgspec.Struct, frozen=True):
    """Report `StartDue` at `due` (ms). A run that can expire also waits for a free slot, and is reported at
    `expires_at` in any case."""

    due: int
    expires_at: int | None = None


class AwaitSlot(msgspec.Struct, frozen=True):
    """Report `SlotGranted` when the pipeline's concurrency lets the run begin."""


class Wake(msgspec.Struct, frozen=True):
    """Report `TimerFired` at `due` (ms)."""

    path: str
    due: int


class Listen(msgspec.Struct, frozen=True):
    """Report as a signal the first event of this type since then; with `match`, only one with this subject."""

    path: str
    name: str
    type: str
    match: str | None
    since: int


class StartChild(msgspec.Struct, frozen=True):
    """Start the run that a `flow.call` calls, under this id. Asked for again, it does nothing."""

    path: str
    run: str


class EmitEvent(msgspec.Struct, frozen=True):
    """Send the event of a `flow.emit` and report the step's checkpoint. Asked for again, it sends no second event."""

    path: str


class PublishAnswer(msgspec.Struct, frozen=True):
    """Send the run's answer to the client that sent its event, if it still waits."""


class PostMessage(msgspec.Struct, frozen=True):
    """Put a message into another run's inbox."""

    run: str
    kind: str
    data: Value


class Resume(msgspec.Struct, frozen=True):
    """The run was paused and goes on: perform what is outstanding and not under way."""


Effect: TypeAlias = (
    Perform
    | Abandon
    | AwaitStart
    | AwaitSlot
    | Wake
    | Listen
    | StartChild
    | EmitEvent
    | PublishAnswer
    | PostMessage
    | Resume
)


class EnterStep(msgspec.Struct, frozen=True):
    """Begin a step, or skip it."""

    at: int
    path: str


class BeginBranch(msgspec.Struct, frozen=True):
    """Begin a branch of a block; of a loop the next `count` items or turns."""

    at: int
    path: str
    branch: str
    count: int = 1


FollowUp: TypeAlias = AnyEntry | EnterStep | BeginBranch
Consequences: TypeAlias = tuple[Sequence[FollowUp], Sequence[Effect]]
