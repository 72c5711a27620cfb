"""The values of the journal: what callers ask it to commit, what it answers, and what it stores.

Nothing here knows a database: a command builds and reads these values without loading SQLAlchemy.
"""

from collections.abc import Sequence
from typing import Literal, Self, TypeAlias, get_args

import msgspec

from durable.durations import parse_duration
from durable.history.entries import AnyEntry
from durable.history.state import State
from durable.history.words import RunStatus
from durable.values import NULL, Value

DeliveryOutcome: TypeAlias = Literal["accepted", "duplicate", "filtered", "rejected", "handshake", "skipped"]
FireOutcome: TypeAlias = Literal["started", "duplicate", "filtered", "skipped", "missed"]
"""What became of a schedule's fire. `skipped`: a run was under way; `missed`: no service ran when it was due."""


class Event(msgspec.Struct, frozen=True):
    """An immutable fact that arrived, with the attributes of CloudEvents; `key` is its `id` at the source."""

    id: str
    source: str
    key: str
    type: str | None
    time: int
    subject: str | None = None
    data: Value = NULL


class Delivery(msgspec.Struct, frozen=True):
    """One inbound request of a webhook. `headers` come without credentials, `body_hash` is SHA-256 in hex. `event` is
    the id of the event that it brought; that of a duplicate is the first one's."""

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
"""What a step does once: `flow` is a call or an event that it sends, `answer` is the end of its wait."""

STEP_KEY_LIFETIME = parse_duration("3650d")
"""Milliseconds: longer than any run, whose end also ends the key of its step."""


class DedupeKey(msgspec.Struct, frozen=True):
    """A key that only the first of several equal requests takes, within `scope` and until `until` (ms). Equal keys with
    different fingerprints (of the inputs) are a conflict; a `fingerprint` of None never conflicts. A key `of` a run
    ends with the run."""

    scope: str
    key: str
    until: int
    fingerprint: str | None = None
    of: str | None = None

    @classmethod
    def of_step(cls, scope: "StepScope", run: str, path: str, at: int) -> Self:
        """The key of what a step of a run does once."""
        return cls(scope, f"{run}:{path}", at + STEP_KEY_LIFETIME, of=run)


class ScheduleProgress(msgspec.Struct, frozen=True):
    """Up to which time a schedule is dealt with: every fire (ms) up to `handled`, except those in `waiting`.

    `fire` is the last one that was dealt with, with its `outcome` and `reason`; `run` is the last run that was started.
    `skipped` and `missed` count fires, and `missed_at` is the last missed one. If `times`, the schedule as written,
    changes, the progress starts anew.
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
    """The columns of a run that change with its state: lists show them, and the sweep searches for `due_at` (ms)."""

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
"""The message was posted; the wait that it would end is over already; the run has ended or does not exist."""


class SlotRequest(msgspec.Struct, frozen=True):
    """A run's request for a slot of its pipeline's concurrency: at most `limit` unfinished runs with this `key` hold
    one, and `overflow` says what happens to one more. A run that `is_held_back` requests its slot later."""

    key: str
    limit: int
    overflow: Overflow = "queue"
    is_held_back: bool = False


class NewMessage(msgspec.Struct, frozen=True):
    """A message for the inbox of another run. If that run does not exist yet, the `dedupe_key` with which it would
    begin is taken, so that it never begins."""

    run: str
    kind: str
    data: Value
    dedupe_key: DedupeKey | None = None


class EventSubscription(msgspec.Struct, frozen=True):
    """The wait of the step at `path` for an event of this type, about this subject if one is given, that came at
    `since` (ms) or later; `name` is that of one wait of a `wait.any`."""

    path: str
    name: str
    type: str
    subject: str | None
    since: int


class SideEffects(msgspec.Struct, frozen=True):
    """What is written in the same commit as a run's entries.

    `messages` go to other runs; `subscriptions` begin; `ended_waits` (paths) are over although nothing came for them;
    `slot_request` asks for the slot of a run that was held back; `freed_slot` is the key of the slot that the run
    releases with its end. `has_ended` removes the run's dedupe keys and subscriptions.
    """

    messages: Sequence[NewMessage] = ()
    subscriptions: Sequence[EventSubscription] = ()
    ended_waits: Sequence[str] = ()
    slot_request: SlotRequest | None = None
    freed_slot: str | None = None
    has_ended: bool = False


class QueuedStart(msgspec.Struct, frozen=True):
    """How a new run begins if it gets no slot: its first entries, its row and its side effects."""

    entries: Sequence[AnyEntry]
    view: RunView
    side_effects: SideEffects | None = None


class NewRun(msgspec.Struct, frozen=True):
    """A run to begin: its first entries are written in the commit that accepts its event.

    If it requests a slot and gets none, it begins as `queued` says. If it `listens`, the event that started it matches
    none of its waits. One that `is_left` has no owner yet: it is taken over when its turn comes.
    """

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
    """The first event in a chain of runs that start each other, from which at most `limit` runs may descend."""

    origin: str
    limit: int


class Admission(msgspec.Struct, frozen=True):
    """An event, with the delivery that brought it, the runs that it starts and the dedupe keys that it takes.

    If one of the keys is taken already, only the delivery and the schedule are written, as a duplicate. Keys are taken
    only if a run starts, or in any case with `keeps_keys`; `at` decides whether a key has expired (None: the event's
    own time). The `schedule` that fired gets the run's id. The event of a run has a `descent`: the admission is refused
    with `TooManyRuns` if too many runs descend from its first event.
    """

    event: Event
    runs: Sequence[NewRun] = ()
    dedupe_keys: Sequence[DedupeKey] = ()
    delivery: Delivery | None = None
    at: int | None = None
    schedule: ScheduleProgress | None = None
    keeps_keys: bool = False
    descent: Descent | None = None


class Admitted(msgspec.Struct, frozen=True):
    """What an admission wrote. If it `is_duplicate`, the ids are those of the first admission, and with `is_conflict`
    its inputs were different. `queued` runs wait for a slot; `skipped` runs were not made because there was none;
    `notified` runs got a message."""

    event: str
    runs: tuple[str, ...]
    is_duplicate: bool = False
    is_conflict: bool = False
    queued: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notified: tuple[str, ...] = ()


class Message(msgspec.Struct, frozen=True):
    """A message in a run's inbox; `durable/messages.py` says what kinds there are and what `data` holds."""

    id: int
    run: str
    kind: str
    data: Value
    at: int


class Takeover(msgspec.Struct, frozen=True):
    """A run that was taken over: `epoch` is the fence of its new owner, the only one that can add to its `sequence`
    entries. `recoveries` counts how often in a row it was recovered without progress; `due_at` (ms) and `status` are
    those of its row; it `was_owned` if its owner had not released it."""

    run: str
    version: str
    epoch: int
    recoveries: int
    sequence: int
    due_at: int | None
    was_owned: bool
    status: RunStatus


class Run(msgspec.Struct, frozen=True):
    """A run as lists show it. `sequence` is the number of its last entry; `node` has owned it since `claimed_at`; its
    tags are sorted. A run that another run started is the `nth` that descends from the event `origin`."""

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
    """A key of the API: `scope` says what it may do, `hash` is the SHA-256 in hex of what its holder presents."""

    id: str
    name: str
    scope: str
    hash: str
    created_at: int
    revoked_at: int | None = None


class UnfinishedRun(msgspec.Struct, frozen=True):
    """A run that has not ended. `was_busy`: its owner has not released it; `sequence` is the number of its last
    entry."""

    run: str
    pipeline: str
    due_at: int | None
    recoveries: int
    was_busy: bool
    sequence: int
