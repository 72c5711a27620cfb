"""The entries of a run's history.

An entry is a *fact* that the engine reports (a run started, an attempt ended, a cancel was requested) or a *decision*
that the core takes because of one. Entries are stored for ever: tags and field names never change. Times are wall-clock
milliseconds.
"""

from typing import TypeAlias

import msgspec

from durable.action import Ending
from durable.history.words import (
    Await,
    EndStatus,
    Failure,
    Links,
    LossCause,
    Parent,
    SecretPlaceholder,
    Verdict,
)
from durable.values import NULL, Value

_LOSSES: dict[LossCause, str] = {
    "crash": "the process ended during the attempt",
    "drain": "the service was stopped during the attempt",
}


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One fact or decision; `at` is the time of the fact that caused it."""

    at: int


# -- facts ------------------------------------------------------------------------------------------------------


class RunStarted(Entry, frozen=True, tag="run_started"):
    """A run began. With an `error`, its inputs could not be made, and it fails before its first step.

    `trigger` is the id of the trigger that started it, `arrival` what steps read as `trigger` (kept only if one does),
    `url` the run's page. A run with `not_before` or `expires_at` is held back until `StartDue`; one that is
    `queued_for` a `slot` of its pipeline's concurrency, until `SlotGranted`. Attempts of runs with a higher `priority`
    go first. `depth` counts how many runs, each started by an event of the one before, led to this one. If it
    `is_delayed`, `not_before` is the end of a delay, and not a moment that the caller named. `origin` is the id of the
    first event that led to this run; it is None if that is the run's own `event`.
    """

    pipeline: str
    version: str
    deadline: int
    inputs: Value = NULL
    event: str | None = None
    trigger: str | None = None
    arrival: Value = NULL
    url: str | None = None
    error: Failure | None = None
    not_before: int | None = None
    expires_at: int | None = None
    tags: tuple[str, ...] = ()
    priority: int = 0
    semantics: int = 1
    parent: Parent | None = None
    links: Links | None = None
    slot: str | None = None
    queued_for: str | None = None
    depth: int = 0
    is_delayed: bool = False
    origin: str | None = None

    @property
    def held_until(self) -> int | None:
        """Until when a run is held back that does not begin at once; then it begins, or has expired."""
        if self.error or (self.not_before is None and self.expires_at is None):
            return None
        begins = self.at if self.not_before is None else self.not_before
        return begins if self.expires_at is None else min(begins, self.expires_at)


class StartDue(Entry, frozen=True, tag="start_due"):
    """The time until which a run was held back is over: it begins, or has expired."""


class AttemptStarted(Entry, frozen=True, tag="attempt_started"):
    """An attempt is about to begin. Written only for a step that may not be repeated without asking (`on_crash: park`
    or `fail`), and committed before its effect."""

    path: str
    attempt: int


class StepCompleted(Entry, frozen=True, tag="step_completed"):
    """The checkpoint: the step's output, which no later attempt can change. `undo` is the input of the action that
    takes the step's effect back, if there is one. An output that `is_answer` is sent as the HTTP response to the
    webhook."""

    path: str
    attempt: int = 0
    started_at: int | None = None
    output: Value = NULL
    undo: Value | None = None
    undo_secrets: tuple[SecretPlaceholder, ...] = ()
    is_answer: bool = False


class AttemptFailed(Entry, frozen=True, tag="attempt_failed"):
    """An attempt failed. It has an `output` if the action returned and its output is invalid."""

    path: str
    attempt: int
    error: Failure
    ending: Ending
    started_at: int | None = None
    output: Value | None = None


class AttemptLost(Entry, frozen=True, tag="attempt_lost"):
    """An attempt that began, or may have begun, will never report how it ended: its process died, lost the run, or cut
    the attempt off to stop. The node that recovers the run writes it, or the one that stops."""

    path: str
    attempt: int
    cause: LossCause = "crash"
    started_at: int | None = None

    @property
    def error(self) -> Failure:
        """The loss as a failure."""
        message = _LOSSES[self.cause]
        return Failure.of("crash", "process_lost", message, self.path, self.attempt)


class InputRefused(Entry, frozen=True, tag="input_refused"):
    """The connector is gone, or its code no longer accepts the input that is recorded for the step."""

    path: str
    attempt: int
    reason: str


class CancelRequested(Entry, frozen=True, tag="cancel_requested"):
    """A cancel of the run was requested."""

    reason: str | None = None


class DeadlinePassed(Entry, frozen=True, tag="deadline_passed"):
    """The run's timeout, or the deadline of its cleanup, is over."""


class RecoveryStopped(Entry, frozen=True, tag="recovery_stopped"):
    """The run was recovered `count` times without progress; perhaps it is what kills the process."""

    count: int


class SlotGranted(Entry, frozen=True, tag="slot_granted"):
    """A run that was queued for a slot of its pipeline's concurrency has got it."""


class TimerFired(Entry, frozen=True, tag="timer_fired"):
    """The time that a wait, a block or a call had set is due."""

    path: str


class SignalReceived(Entry, frozen=True, tag="signal_received"):
    """An answer or an event arrived for a wait, perhaps before the wait has begun."""

    path: str
    name: str = ""
    data: Value = NULL


class ChildEnded(Entry, frozen=True, tag="child_ended"):
    """The run that a step called has ended, or could not begin (without a `run`)."""

    path: str
    status: EndStatus
    run: str | None = None
    outputs: Value = NULL
    error: Failure | None = None


class StepResolved(Entry, frozen=True, tag="step_resolved"):
    """A person decided what became of a step that was uncertain or had used up its attempts: it completed with this
    output, it is attempted again, or it failed."""

    path: str
    verdict: Verdict
    output: Value = NULL
    by: str | None = None
    reason: str | None = None


class RunResumed(Entry, frozen=True, tag="run_resumed"):
    """A person resumed a paused run."""

    by: str | None = None


# -- decisions --------------------------------------------------------------------------------------------------


class StepScheduled(Entry, frozen=True, tag="step_scheduled"):
    """A step's first attempt is due now, with this input; references to secrets are kept beside it in `secrets`, never
    inside it. Whether it `has_undo` is recorded before its effect."""

    path: str
    input: Value = NULL
    secrets: tuple[SecretPlaceholder, ...] = ()
    has_undo: bool = False


class StepSkipped(Entry, frozen=True, tag="step_skipped"):
    """The step's `if` was false."""

    path: str


class RetryScheduled(Entry, frozen=True, tag="retry_scheduled"):
    """Another attempt is due at `due`, with the same input under the same key."""

    path: str
    attempt: int
    due: int


class StepFailed(Entry, frozen=True, tag="step_failed"):
    """The step failed for good."""

    path: str
    error: Failure
    output: Value | None = None


class StepUncertain(Entry, frozen=True, tag="step_uncertain"):
    """It is not known whether the effect happened, and it may not be repeated."""

    path: str
    attempt: int
    error: Failure


class StepExhausted(Entry, frozen=True, tag="step_exhausted"):
    """The step used up its attempts, and a person has to decide (`on_exhausted: pause`)."""

    path: str
    attempt: int
    error: Failure


class StepCancelled(Entry, frozen=True, tag="step_cancelled"):
    """The run, or the block around the step, ended while the step was under way."""

    path: str


class BlockStarted(Entry, frozen=True, tag="block_started"):
    """A block was reached. `items` are those of a block that goes over a list."""

    path: str
    kind: str
    items: Value = NULL
    count: int = 0


class BranchStarted(Entry, frozen=True, tag="branch_started"):
    """A branch of a block begins: a case, an item or turn (`index` from 0), a phase of a `try`."""

    path: str
    branch: str
    index: int | None = None


class BranchEnded(Entry, frozen=True, tag="branch_ended"):
    """A branch of a block has come to its end."""

    path: str
    branch: str
    status: EndStatus
    index: int | None = None
    error: Failure | None = None


class BranchesCancelled(Entry, frozen=True, tag="branches_cancelled"):
    """The block begins no further branch, and the steps under way in it end; `finally` is still performed. Without a
    path it concerns the whole cleanup."""

    path: str


class TimerSet(Entry, frozen=True, tag="timer_set"):
    """The block, or the call, goes on when it is `due`."""

    path: str
    due: int


class WaitStarted(Entry, frozen=True, tag="wait_started"):
    """The step waits for the first of `awaits`; at `due` the wait ends by the clock."""

    path: str
    awaits: tuple[Await, ...]
    due: int | None = None


class ChildCalled(Entry, frozen=True, tag="child_called"):
    """The step calls a pipeline; `run` is the name that its run will have."""

    path: str
    run: str


class UndoStarted(Entry, frozen=True, tag="undo_started"):
    """A `flow.undo` takes back the effects of these steps, in this order."""

    path: str
    targets: tuple[str, ...]


class UndoFailed(Entry, frozen=True, tag="undo_failed"):
    """A step's effect could not be taken back, and may still be there."""

    path: str
    error: Failure


class RunPaused(Entry, frozen=True, tag="run_paused"):
    """The run is paused until a person decides; with a path, about that step."""

    reason: str
    path: str | None = None


class MainEnding(Entry, frozen=True, tag="main_ending"):
    """The main part is to end before its last step: the steps under way end, and each `finally` is performed, until
    `deadline`."""

    status: EndStatus
    error: Failure | None = None
    reason: str | None = None
    deadline: int | None = None


class MainEnded(Entry, frozen=True, tag="main_ended"):
    """The main part of the run ended; `on_failure` follows, until `deadline`. It has a `cleanup_error` if a `finally`
    could not be completed."""

    status: EndStatus
    outputs: Value = NULL
    error: Failure | None = None
    reason: str | None = None
    deadline: int | None = None
    cleanup_error: Failure | None = None


class RunFinished(Entry, frozen=True, tag="run_finished"):
    """The end of the run; nothing follows it. It has a `cleanup_error` if `on_failure` failed."""

    status: EndStatus
    cleanup_error: Failure | None = None


Fact: TypeAlias = (
    RunStarted
    | StartDue
    | SlotGranted
    | AttemptStarted
    | StepCompleted
    | AttemptFailed
    | AttemptLost
    | InputRefused
    | TimerFired
    | SignalReceived
    | ChildEnded
    | StepResolved
    | RunResumed
    | CancelRequested
    | DeadlinePassed
    | RecoveryStopped
)
Decision: TypeAlias = (
    StepScheduled
    | StepSkipped
    | RetryScheduled
    | StepFailed
    | StepUncertain
    | StepExhausted
    | StepCancelled
    | BlockStarted
    | BranchStarted
    | BranchEnded
    | BranchesCancelled
    | TimerSet
    | WaitStarted
    | ChildCalled
    | UndoStarted
    | UndoFailed
    | RunPaused
    | MainEnding
    | MainEnded
    | RunFinished
)
AnyEntry: TypeAlias = Fact | Decision
