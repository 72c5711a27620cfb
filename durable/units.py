"""What is asked of a journal and what it answers.

A *unit* is what one caller asked to commit: whole or absent.
"""

from collections.abc import Sequence
from typing import Literal, Self, TypeAlias, get_args

import msgspec

from durable.history.entries import AnyEntry
from durable.history.state import State
from durable.history.words import RunStatus
from durable.values import NULL, Value

DeliveryOutcome: TypeAlias = Literal["accepted", "duplicate", "filtered", "rejected", "handshake", "skipped"]
FireOutcome: TypeAlias = Literal["started", "duplicate", "filtered", "skipped", "missed"]
"""What became of a schedule's fire; `skipped` as a run was under way, `missed` as nobody was there when it was due."""


class Event(msgspec.Struct, frozen=True):
    """An immutable fact that arrived; the attributes are those of CloudEvents, `key` being its `id` at the source."""

    id: str
    source: str
    key: str
    type: str | None
    time: int
    subject: str | None = None
    data: Value = NULL


class Delivery(msgspec.Struct, frozen=True):
    """One inbound request on a webhook. `headers` are without credentials; `body_hash` is SHA-256 in hex; `event` is
    the id of what it brought, which for a duplicate is the first one's."""

    id: str
    trigger: str
    path: str
    method: str
    at: int
    outcome: DeliveryOutcome
    reason: str | None = None
    headers: Value = NULL
    body_hash: str | None = None
    size: int = 0
    event: str | None = None


StepScope: TypeAlias = Literal["flow", "answer"]
STEP_SCOPES: tuple[StepScope, ...] = get_args(StepScope)
"""What a step does once: set something going; end its wait."""

STEP_KEY_LIFETIME = 3_650 * 86_400_000
"""Milliseconds: longer than any run, with which such a claim ends."""


class DedupeKey(msgspec.Struct, frozen=True):
    """A dedupe claim: `key` is taken within `scope` until `until` (ms). The same key with another `fingerprint`
    (of the inputs) is a conflict; None never conflicts. A claim `of` a run ends with it."""

    scope: str
    key: str
    until: int
    fingerprint: str | None = None
    of: str | None = None

    @classmethod
    def of_step(cls, scope: "StepScope", run: str, path: str, at: int) -> Self:
        """What a step of a run does once."""
        return cls(scope, f"{run}:{path}", at + STEP_KEY_LIFETIME, of=run)


class ScheduleProgress(msgspec.Struct, frozen=True):
    """How far a schedule is dealt with: every fire (ms) up to `handled`, but for those `waiting` for their turn.

    `fire` is the last that was dealt with, with its `outcome` and the `reason` of it; `run` is the last that was
    started. `skipped` and `missed` count fires, `missed_at` is the last of these. Another text of `times` is another
    schedule.
    """

    id: str
    times: str
    handled: int
    waiting: tuple[int, ...] = ()
    fire: int | None = None
    outcome: FireOutcome | None = None
    reason: str | None = None
    run: str | None = None
    skipped: int = 0
    missed: int = 0
    missed_at: int | None = None


class RunView(msgspec.Struct, frozen=True):
    """The mutable part of a run's row: what lists show and what the sweep looks for."""

    status: RunStatus
    reason: str | None = None
    due_at: int | None = None
    finished_at: int | None = None

    @classmethod
    def of(cls, state: State) -> "RunView":
        return cls(state.status, state.reason, state.due, state.finished.at if state.finished else None)


Overflow: TypeAlias = Literal["queue", "skip", "cancel_oldest"]
SlotOutcome: TypeAlias = Literal["held", "queued", "skipped"]
PostOutcome: TypeAlias = Literal["posted", "answered", "ended"]
"""A message was posted; the wait that it is for has its end already; the run goes on no more."""


class SlotRequest(msgspec.Struct, frozen=True):
    """At most `limit` unfinished runs with this key hold a slot; `overflow` says what becomes of one more. One that
    `is_held_back` does not ask for its slot yet."""

    key: str
    limit: int
    overflow: Overflow = "queue"
    is_held_back: bool = False


class NewMessage(msgspec.Struct, frozen=True):
    """A message for the inbox of another run. If there is no such run yet, the `claim` with which it would begin is
    taken, so that it does not."""

    run: str
    kind: str
    data: Value
    dedupe_key: DedupeKey | None = None


class EventSubscription(msgspec.Struct, frozen=True):
    """A step that waits for an event: of this type, about this subject if one is given, that came `since` (ms)."""

    path: str
    name: str
    type: str
    subject: str | None
    since: int


class SideEffects(msgspec.Struct, frozen=True):
    """What stands in the same commit as a run's entries: messages to other runs, steps that begin to listen for an
    event, waits (by path) that are `over` though nothing came for them, a slot that is asked for, and the key of one
    that is free once the run `has_ended`."""

    messages: Sequence[NewMessage] = ()
    subscriptions: Sequence[EventSubscription] = ()
    ended_waits: Sequence[str] = ()
    slot_request: SlotRequest | None = None
    freed_slot: str | None = None
    has_ended: bool = False


class QueuedStart(msgspec.Struct, frozen=True):
    """The entries with which a run begins, its row then, and what is committed with them."""

    entries: Sequence[AnyEntry]
    view: RunView
    side_effects: SideEffects | None = None


class NewRun(msgspec.Struct, frozen=True):
    """A run to begin: its first entries stand in the commit that accepts its event. One that contends for a slot has
    `queued` as its beginning if it gets none. One that `listens` does not hear the event that started it. One that
    `is_left` has no owner: it is brought in when its turn comes."""

    id: str
    pipeline: str
    version: str
    trigger: str | None
    created_at: int
    entries: Sequence[AnyEntry]
    view: RunView
    tags: Sequence[str] = ()
    slot_request: SlotRequest | None = None
    queued: QueuedStart | None = None
    side_effects: SideEffects | None = None
    listens: bool = False
    is_left: bool = False


class Descent(msgspec.Struct, frozen=True):
    """What runs that a run sets going go back to: the first event, of which at most `limit` runs descend."""

    origin: str
    limit: int


class Admission(msgspec.Struct, frozen=True):
    """An event with the delivery that brought it, the claims that it takes and the runs that it starts. Claims are
    taken only if there are runs, or in any case with `keeps_keys`; if one is taken already, nothing but the delivery
    and the schedule is written, as a duplicate. The `schedule` that fired gets the run's id. `at` is when it arrived,
    which decides whether a claim has expired; None means the event's own time. An event of a run has a `descent`, and
    is refused with `TooManyRuns` if too many runs descend from its first event."""

    event: Event
    runs: Sequence[NewRun] = ()
    dedupe_keys: Sequence[DedupeKey] = ()
    delivery: Delivery | None = None
    at: int | None = None
    schedule: ScheduleProgress | None = None
    keeps_keys: bool = False
    descent: Descent | None = None


class Admitted(msgspec.Struct, frozen=True):
    """`is_duplicate`: the ids are those of the first admission. `is_conflict`: its inputs were others. `queued` are the
    runs that wait for a slot, `skipped` those that were not made for want of one, and `called` the runs whose inbox has
    got a message by it."""

    event: str
    runs: tuple[str, ...]
    is_duplicate: bool = False
    is_conflict: bool = False
    queued: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notified: tuple[str, ...] = ()


class Message(msgspec.Struct, frozen=True):
    """What others want of a run, from its inbox: `kind` names it (`cancel`), `data` says more."""

    id: int
    run: str
    kind: str
    data: Value
    at: int


class Takeover(msgspec.Struct, frozen=True):
    """A run taken over: the fence of its new owner, how often in a row it was recovered without progress, how many
    entries its history has, to which only that owner can add, when it is due as its row says (ms), whether an owner had
    not let go of it, and the status that its row shows."""

    run: str
    version: str
    epoch: int
    recoveries: int
    sequence: int
    due_at: int | None
    was_owned: bool
    status: RunStatus


class Run(msgspec.Struct, frozen=True):
    """A run as lists show it. `sequence` is the number of its last entry; `node` owns it since `claimed_at`; its tags
    are sorted. One that another run set going is the `nth` of those that descend from the event `origin`."""

    id: str
    pipeline: str
    version: str
    event: str
    trigger: str | None
    status: RunStatus
    reason: str | None
    node: str | None
    epoch: int
    sequence: int
    recoveries: int
    created_at: int
    claimed_at: int
    due_at: int | None
    finished_at: int | None
    tags: tuple[str, ...] = ()
    origin: str | None = None
    nth: int | None = None


class ApiKey(msgspec.Struct, frozen=True):
    """A key of the API: `scope` says what it may do, `hash` is the SHA-256 of what its holder presents, in hex."""

    id: str
    name: str
    scope: str
    hash: str
    created_at: int
    revoked_at: int | None = None


class UnfinishedRun(msgspec.Struct, frozen=True):
    """A run that has not ended, as recovery and lists need it. `was_busy`: its owner did not let go of it; `sequence`
    is the number of its last entry."""

    run: str
    pipeline: str
    due_at: int | None
    recoveries: int
    was_busy: bool
    sequence: int
