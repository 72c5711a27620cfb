"""Data types of the journal: the arguments, results and stored records of its operations.

This module imports no database code, so commands can use these types without loading SQLAlchemy.
"""

from collections.abc import Sequence
from typing import Literal, Self, TypeAlias, get_args

import msgspec

from durable.action import ErrorClass
from durable.durations import parse_duration
from durable.history.entries import AnyEntry
from durable.history.words import AwaitKind, Overflow, RunStatus, TimesOut
from durable.messages import RetryMessage
from durable.values import NULL, Value

DeliveryOutcome: TypeAlias = Literal["accepted", "duplicate", "filtered", "rejected", "handshake", "skipped"]
FireOutcome: TypeAlias = Literal["started", "duplicate", "filtered", "skipped", "missed"]
"""The result of a schedule's fire. `skipped`: a run was still unfinished; `missed`: no service was running then."""


IdKind: TypeAlias = Literal["run", "event", "delivery", "version", "bulk"]
"""What a short id can be the id of."""


class Event(msgspec.Struct, frozen=True):
    """An event as it was received, with the attributes of CloudEvents. `key` is its CloudEvents `id`, which its source
    chose."""

    id: str
    source: str
    key: str
    type: str | None
    time: int
    subject: str | None = None
    data: Value = NULL


class Delivery(msgspec.Struct, frozen=True):
    """One HTTP request to a webhook.

    `path`: the beginning of the request's path.
    `body_hash`: SHA-256 of the body, in hex.
    `event`: the id of the event made from the request. For a duplicate, the id of the original event.
    `kept`: the bytes of `head` and `body`; 0 if neither is kept.
    `head`, `body`: the request itself, as the way in encodes it; None if it is not kept. Lists do not load them.
    """

    id: str
    trigger: str
    path: str
    method: str
    at: int
    outcome: DeliveryOutcome
    reason: str | None = None
    body_hash: str | None = None
    size: int = 0
    event: str | None = None
    kept: int = 0
    head: bytes | None = None
    body: bytes | None = None


StepScope: TypeAlias = Literal["flow", "answer"]
STEP_SCOPES: tuple[StepScope, ...] = get_args(StepScope)
"""Operations that a step performs once: `flow` starts a called run or sends an event, `answer` ends a wait."""

STEP_KEY_LIFETIME = parse_duration("3650d")
"""In milliseconds; longer than any run. The keys of a run's steps are removed when the run completes, or with it."""


class DedupeKey(msgspec.Struct, frozen=True):
    """A deduplication key: the first request with this key is accepted, later ones are duplicates.

    `scope`: keys are unique within a scope.
    `until`: when the key expires, in ms.
    `fingerprint`: a hash of the request's inputs. Equal keys with different fingerprints conflict; None never
    conflicts.
    `of`: the run that the key belongs to; the key is removed when that run completes, or is removed.
    """

    scope: str
    key: str
    until: int
    fingerprint: str | None = None
    of: str | None = None

    @classmethod
    def of_step(cls, scope: "StepScope", run: str, path: str, at: int) -> Self:
        """Make the key of an operation that a step of a run performs once."""
        return cls(scope, f"{run}:{path}", at + STEP_KEY_LIFETIME, of=run)


class ScheduleProgress(msgspec.Struct, frozen=True):
    """How far a schedule has been processed: every fire up to `handled` (ms), except those in `waiting`.

    `times`: the schedule as written in the file. If it changes, the progress is reset.
    `fire`, `outcome`, `reason`: the last fire that was processed, and its result.
    `run`: the last run that the schedule started.
    `skipped`, `missed`: how many fires had these outcomes; `missed_at` is the time of the last missed one.
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


CauseKind: TypeAlias = Literal[
    "failed",
    "unstarted",
    "cleanup",
    "uncertain",
    "exhausted",
    "stopped",
    "retry",
    "page",
    "any",
    "call",
    "timer",
    "slot",
    "start",
    AwaitKind,
]


class Cause(msgspec.Struct, frozen=True, omit_defaults=True, rename={"error_class": "class"}):
    """Why a run failed, is paused, or does not go on now, as its row keeps it for lists.

    `kind`: `failed`: a step failed, or the run itself; `unstarted`: it failed before its first step; `cleanup`: its
    cleanup runs after this failure; `uncertain`, `exhausted`: a person has to decide on the step; `stopped`: a person
    has to resume it; `retry`: the step is attempted again at `due`; `page`: the step gets its next page at `due`;
    `any`: the first of several `awaits`; `call`: a called run; `timer`: a pause of a loop; `slot`: a slot of its
    pipeline's concurrency; `start`: its start time; else the kind of a wait.
    `step`: the path of the step.
    `error_class`, `code`, `message`: the failure; `action`: the action that failed. The message is shortened.
    `attempt`, `attempts`: the attempt that failed or is next, and how many there are at most.
    `lost`: how many attempts of the step were lost in a crash or a stop of the service.
    `due`: when a timer ends it, in ms.
    `target`: the type of an event, the id of a called run, or the key of a slot; `match`: the subject of the event.
    `to`: who is asked for an approval.
    `times_out`: what follows if nothing arrives until `due`.
    `others`: how many more steps wait.
    """

    kind: CauseKind
    step: str | None = None
    error_class: ErrorClass | None = None
    code: str | None = None
    action: str | None = None
    message: str | None = None
    attempt: int | None = None
    attempts: int | None = None
    lost: int = 0
    due: int | None = None
    target: str | None = None
    match: str | None = None
    to: str | None = None
    awaits: tuple[AwaitKind, ...] = ()
    times_out: TimesOut | None = None
    others: int = 0


class RunView(msgspec.Struct, frozen=True):
    """The columns of a run's row that are derived from its state: lists show them, and the sweep selects runs by
    `due_at` (ms). `error_key` is equal for equal failures; see `durable.error_key`."""

    status: RunStatus
    reason: str | None = None
    due_at: int | None = None
    finished_at: int | None = None
    cause: Cause | None = None
    error_key: str | None = None


SlotOutcome: TypeAlias = Literal["granted", "queued", "skipped"]
PostOutcome: TypeAlias = Literal["posted", "answered", "ended"]
"""`posted`: the message is in the inbox. `answered`: the wait has already ended. `ended`: there is no such unfinished
run."""


class SlotRequest(msgspec.Struct, frozen=True):
    """A request for one of the concurrency slots of a pipeline.

    `key`: at most `limit` unfinished runs with the same key hold a slot.
    `overflow`: what to do with a run when no slot is free.
    `is_held_back`: the run starts at a later time, and requests its slot then.
    """

    key: str
    limit: int
    overflow: Overflow = "queue"
    is_held_back: bool = False


class QueuePlace(msgspec.Struct, frozen=True):
    """The place of a run that is queued for a slot.

    `limit`: how many runs hold a slot of the key at the same time.
    `behind`: the run before it, or the oldest that holds a slot.
    `number`: 1 for the next run; None if too many runs are before it.
    """

    limit: int
    behind: str | None
    number: int | None


class NewMessage(msgspec.Struct, frozen=True):
    """A message to another run's inbox. If that run does not exist yet, its `dedupe_key` is taken, so that the run can
    never start."""

    run: str
    kind: str
    data: Value
    dedupe_key: DedupeKey | None = None


class CalledRetry(msgspec.Struct, frozen=True):
    """A called run that is retried with the run that called it.

    `cancelled_because`: the reason with which the end of the calling step cancelled it.
    `dedupe_key`: the key of the call. If the run never started, the key becomes free, so that it can start.
    `is_detached`: its caller does not wait for it, so it is not retried.
    """

    run: str
    message: RetryMessage
    cancelled_because: str
    dedupe_key: DedupeKey
    is_detached: bool = False


class EventSubscription(msgspec.Struct, frozen=True):
    """The subscription of a waiting step to events of one type.

    `name`: the name of the wait inside a `wait.any`; empty for any other wait.
    `subject`: match only events with this subject; None matches any.
    `since`: match events received at this time (ms) or later.
    """

    path: str
    name: str
    type: str
    subject: str | None
    since: int


class SideEffects(msgspec.Struct, frozen=True):
    """Changes outside a run's history that are written in the same commit as its entries.

    `messages`: messages to other runs.
    `subscriptions`: subscriptions to add.
    `ended_waits`: paths of waits whose subscriptions are removed, because they ended without an event.
    `slot_request`: the slot request of a run that was held back.
    `freed_slot`: the key of the slot that the run releases when it ends.
    `has_ended`: the run has ended and may have subscriptions, which are removed.
    `forgets_keys`: it cannot be retried, so that the dedupe keys of its steps are removed.
    `reopened_waits`: paths of waits that begin again, so that they can be answered again.
    `retried`: called runs that are retried with it.
    """

    messages: Sequence[NewMessage] = ()
    subscriptions: Sequence[EventSubscription] = ()
    ended_waits: Sequence[str] = ()
    slot_request: SlotRequest | None = None
    freed_slot: str | None = None
    has_ended: bool = False
    forgets_keys: bool = False
    reopened_waits: Sequence[str] = ()
    retried: Sequence[CalledRetry] = ()


class QueuedStart(msgspec.Struct, frozen=True):
    """The first entries, row and side effects of a new run that gets no slot and is queued."""

    entries: Sequence[AnyEntry]
    view: RunView
    side_effects: SideEffects | None = None


class NewRun(msgspec.Struct, frozen=True):
    """A run to create. Its first entries are written in the commit that accepts its event.

    `queued`: what is written instead of `entries`, `view` and `side_effects` if the run gets no slot and is queued.
    `listens`: the run may wait for events. The event that starts it does not match its own waits.
    `is_unowned`: the run is created without an owner, and is taken over later.
    `source`: the id of the run or the delivery that it repeats.
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
    is_unowned: bool = False
    source: str | None = None


class Descent(msgspec.Struct, frozen=True):
    """The first event of a chain of runs that start each other. At most `limit` runs may descend from it."""

    origin: str
    limit: int


class Admission(msgspec.Struct, frozen=True):
    """An event to commit, with its delivery, the runs that it starts and its dedupe keys.

    If one of the keys is already taken, only the delivery and the schedule's progress are written, as a duplicate.

    `dedupe_keys`: taken only if a run starts, or always with `keeps_keys`.
    `renews`: set if an event is to run again when all of its runs have failed. Such a duplicate is not recorded, unless
    its runs are those in `renews`: then it starts its own runs, and takes the keys over.
    `free_keys`: taken like those if they are free; one that is taken refuses nothing.
    `at`: the time (ms) of the admission, at which keys are checked for expiry; None means the event's time.
    `schedule`: the progress of the schedule that fired. The id of the started run is added to it.
    `descent`: set for events sent by a run. `TooManyRuns` is raised if too many runs descend from its first event.
    `is_recorded`: the event is in the journal already. It is not written again, and matches no waits.
    """

    event: Event
    runs: Sequence[NewRun] = ()
    dedupe_keys: Sequence[DedupeKey] = ()
    delivery: Delivery | None = None
    at: int | None = None
    schedule: ScheduleProgress | None = None
    keeps_keys: bool = False
    descent: Descent | None = None
    is_recorded: bool = False
    free_keys: Sequence[DedupeKey] = ()
    renews: tuple[str, ...] | None = None


class Admitted(msgspec.Struct, frozen=True):
    """The result of an admission.

    `event`, `runs`: the ids of the event and its runs. For a duplicate, those of the original admission.
    `failed`: those runs of a duplicate that have failed.
    `is_conflict`: the admission is a duplicate whose inputs differ from the original's.
    `queued`: runs that wait for a slot.
    `skipped`: runs that were not created because no slot was free.
    `notified`: runs that received the event as a message.
    """

    event: str
    runs: tuple[str, ...]
    is_duplicate: bool = False
    is_conflict: bool = False
    queued: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notified: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether all runs of a duplicate have failed."""
        return bool(self.runs) and self.failed == self.runs


class Message(msgspec.Struct, frozen=True):
    """A message in a run's inbox. `durable/messages.py` defines each `kind` and its `data`."""

    id: int
    run: str
    kind: str
    data: Value
    at: int


class Takeover(msgspec.Struct, frozen=True):
    """A run that this node has taken over.

    `epoch`: the fencing token of the new owner. Only the owner with the latest epoch can append entries.
    `sequence`: the number of entries in the history.
    `recoveries`: how many consecutive recoveries made no progress.
    `due_at` (ms), `status`: columns of the run's row.
    `was_owned`: the previous owner had not released the run.
    """

    run: str
    version: str
    epoch: int
    recoveries: int
    sequence: int
    due_at: int | None
    was_owned: bool
    status: RunStatus


class Run(msgspec.Struct, frozen=True):
    """A run as shown in lists.

    `sequence`: the number of its last entry.
    `node`: its owner since `claimed_at`.
    `tags`: sorted.
    `origin`, `nth`: set for a run started by another run: it is the `nth` run that descends from the event `origin`.
    `source`: the id of the run or the delivery that it repeats.
    `cause`: why it failed, is paused, or does not go on now.
    `error_key`: equal for runs that failed, or are paused, for the same reason.
    """

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
    source: str | None = None
    cause: Cause | None = None
    error_key: str | None = None


class ApiKey(msgspec.Struct, frozen=True):
    """An API key. `scope` is what it permits; `hash` is the SHA-256, in hex, of the key that clients send.
    `last_used_at` is its last use, to within some minutes."""

    id: str
    name: str
    scope: str
    hash: str
    created_at: int
    revoked_at: int | None = None
    last_used_at: int | None = None


SealedKind: TypeAlias = Literal["secret", "token"]
"""What an encrypted value is: a secret that a person set, or the tokens of a connection."""


class SealedValue(msgspec.Struct, frozen=True):
    """A value as the journal keeps it, encrypted with the store key that has the id `key`.

    `generation`: changes with each write of the value, and with no encryption anew.
    `updated_by`: the name of the API key, or the command, that wrote it.
    """

    kind: SealedKind
    name: str
    generation: int
    key: str
    nonce: bytes
    data: bytes
    updated_at: int
    updated_by: str


class UnfinishedRun(msgspec.Struct, frozen=True):
    """A run that has not ended. `was_busy`: its owner has not released it. `sequence`: the number of its last entry."""

    run: str
    pipeline: str
    due_at: int | None
    recoveries: int
    was_busy: bool
    sequence: int
