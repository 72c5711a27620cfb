"""What the core asks of the shell, and what it still has to look at itself.

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
    """Perform this attempt of a step, not before `due` (ms). `starts_durably`: its start must be committed first."""

    path: str
    attempt: int
    due: int
    starts_durably: bool = False


class Abandon(msgspec.Struct, frozen=True):
    """Stop what is under way for a step, and wait for nothing more; nobody waits for it any more."""

    path: str


class AwaitStart(msgspec.Struct, frozen=True):
    """Report `StartDue`: at `due` (ms), but of a run that can expire only when there is a slot for it, and at
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
    """Report as a signal the first event of this type, and with this subject if `match` is given, that came since."""

    path: str
    name: str
    type: str
    match: str | None
    since: int


class StartChild(msgspec.Struct, frozen=True):
    """Start the run that a `flow.call` calls, under this name; once is enough, however often it is asked for."""

    path: str
    run: str


class EmitEvent(msgspec.Struct, frozen=True):
    """Send the event of a `flow.emit` and report its checkpoint; once is enough, however often it is asked for."""

    path: str


class PublishAnswer(msgspec.Struct, frozen=True):
    """The run has an answer for whoever sent its event, if somebody still waits for it."""


class PostMessage(msgspec.Struct, frozen=True):
    """Put a message into another run's inbox."""

    run: str
    kind: str
    data: Value


class Resume(msgspec.Struct, frozen=True):
    """Perform what is outstanding and not under way: the run was paused and goes on."""


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
    """Reach a step."""

    at: int
    path: str


class BeginBranch(msgspec.Struct, frozen=True):
    """Begin a branch of a block; of a loop the next item or turn."""

    at: int
    path: str
    branch: str


FollowUp: TypeAlias = AnyEntry | EnterStep | BeginBranch
Consequences: TypeAlias = tuple[Sequence[FollowUp], Sequence[Effect]]
