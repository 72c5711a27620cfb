"""The entries of a run's history.

An entry is a *fact* that the shell reports (a run started, an attempt ended, a cancel came) or a *decision* that the
core takes because of one. Times are wall-clock milliseconds.
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
    """A run began. `error` stands where its inputs could not be made; it then fails before its first step.

    `trigger` is the id of what started it, `arrival` what steps read as `trigger` (kept only where they do), `url`
    where people see the run. A run with a `not_before` or an `expires_at` is held back until `StartDue`; one that is
    `queued_for` a `slot` of its pipeline's concurrency, until `SlotGranted`. Attempts of a higher `priority`
    come first. `depth` counts the events of runs, one sent because of the other, that led to this one. If it
    `is_delayed`, `not_before` is the end of a span of time, not a moment that somebody named. `origin` is the id of
    the first event that led to this run; where that is its own `event`, it is None.
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
        """When the turn comes of a run that does not begin at once: it may begin then, or expires."""
        if self.error or (self.not_before is None and self.expires_at is None):
            return None
        begins = self.at if self.not_before is None else self.not_before
        return begins if self.expires_at is None else min(begins, self.expires_at)


class StartDue(Entry, frozen=True, tag="start_due"):
    """The turn of a run that was held back has come: it begins, or has expired by now."""


class AttemptStarted(Entry, frozen=True, tag="attempt_started"):
    """Made durable before the effect of a step that may not be repeated unknowingly (`on_crash: park | fail`)."""

    path: str
    attempt: int


class StepCompleted(Entry, frozen=True, tag="step_completed"):
    """The checkpoint: the step's output, which no later attempt can change. `undo` is the input of what takes the
    step's effect back, if it has such. An output that `is_answer` is what the sender of the run's event is told."""

    path: str
    attempt: int = 0
    started_at: int | None = None
    output: Value = NULL
    undo: Value | None = None
    undo_secrets: tuple[SecretPlaceholder, ...] = ()
    is_answer: bool = False


class AttemptFailed(Entry, frozen=True, tag="attempt_failed"):
    """An attempt ended without an output. `output` stands where the action returned and what it returned is unfit."""

    path: str
    attempt: int
    error: Failure
    ending: Ending
    started_at: int | None = None
    output: Value | None = None


class AttemptLost(Entry, frozen=True, tag="attempt_lost"):
    """An attempt that began, or may have begun, will never report how it ended: its process died, or lost the run, or
    cut the attempt off when it drained. The owner that recovers the run writes it, or the one that drains."""

    path: str
    attempt: int
    cause: LossCause = "crash"
    started_at: int | None = None

    @property
    def error(self) -> Failure:
        """The loss as people and expressions read it."""
        message = _LOSSES[self.cause]
        return Failure.of("crash", "process_lost", message, self.path, self.attempt)


class InputRefused(Entry, frozen=True, tag="input_refused"):
    """The connector is gone, or its code no longer takes the input that is recorded for the step."""

    path: str
    attempt: int
    reason: str


class CancelRequested(Entry, frozen=True, tag="cancel_requested"):
    """Somebody asked for the run's end."""

    reason: str | None = None


class DeadlinePassed(Entry, frozen=True, tag="deadline_passed"):
    """The run's timeout, or the deadline of its cleanup, is over."""


class RecoveryStopped(Entry, frozen=True, tag="recovery_stopped"):
    """The run was recovered `count` times without any progress and may be what kills the process."""

    count: int


class SlotGranted(Entry, frozen=True, tag="slot_granted"):
    """A run that was queued for a slot of its pipeline's concurrency has got it."""


class TimerFired(Entry, frozen=True, tag="timer_fired"):
    """What a wait, a block or a call had set a time for is due."""

    path: str


class SignalReceived(Entry, frozen=True, tag="signal_received"):
    """What a wait waits for has come: an answer, an event. It may come before the wait has begun."""

    path: str
    name: str = ""
    data: Value = NULL


class ChildEnded(Entry, frozen=True, tag="child_ended"):
    """The run that a step called has ended, or could not begin (`run` is then absent)."""

    path: str
    status: EndStatus
    run: str | None = None
    outputs: Value = NULL
    error: Failure | None = None


class StepResolved(Entry, frozen=True, tag="step_resolved"):
    """A person decided on a step that was uncertain or had used up its attempts: it happened, with this output; it
    did not, and is attempted again; it failed."""

    path: str
    verdict: Verdict
    output: Value = NULL
    by: str | None = None
    reason: str | None = None


class RunResumed(Entry, frozen=True, tag="run_resumed"):
    """A person let a paused run go on."""

    by: str | None = None


# -- decisions --------------------------------------------------------------------------------------------------


class StepScheduled(Entry, frozen=True, tag="step_scheduled"):
    """A step's first attempt is due now, with this input; `secrets` stand beside it, never inside. That it `has_undo`
    is known before its effect."""

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
    """Nobody knows whether the effect happened, and it may not be repeated."""

    path: str
    attempt: int
    error: Failure


class StepExhausted(Entry, frozen=True, tag="step_exhausted"):
    """The step used up its attempts, and a person shall decide (`on_exhausted: pause`)."""

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
    """The block begins no further branch, and what is under way in it ends; `finally` is still performed. Without a
    path it is the whole cleanup."""

    path: str


class TimerSet(Entry, frozen=True, tag="timer_set"):
    """The block, or the call, goes on when it is `due`."""

    path: str
    due: int


class WaitStarted(Entry, frozen=True, tag="wait_started"):
    """The step waits for the first of these; at `due` something happens by itself."""

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
    """The run goes no further until a person decides: on the step, if there is a path."""

    reason: str
    path: str | None = None


class MainEnding(Entry, frozen=True, tag="main_ending"):
    """The main part is to end before its last step: what is under way ends, and each `finally` is performed, until
    `deadline`."""

    status: EndStatus
    error: Failure | None = None
    reason: str | None = None
    deadline: int | None = None


class MainEnded(Entry, frozen=True, tag="main_ended"):
    """The main part of the run ended; what follows is cleanup (`on_failure`), until `deadline`. `cleanup_error`
    stands where a `finally` did not come to its end."""

    status: EndStatus
    outputs: Value = NULL
    error: Failure | None = None
    reason: str | None = None
    deadline: int | None = None
    cleanup_error: Failure | None = None


class RunFinished(Entry, frozen=True, tag="run_finished"):
    """The end; nothing follows it. `cleanup_error` stands where `on_failure` failed itself."""

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
