"""The entries of a run's history.

An entry is a *fact*, reported by the engine (a run started, an attempt ended, a cancel was requested), or a *decision*,
made by the core in response to a fact. `StepCompleted` can be either. Entries are stored permanently: their tags and
field names never change. Times are wall-clock milliseconds.
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
    RunSource,
    SecretPlaceholder,
    Verdict,
)
from durable.values import NULL, Value

_LOSSES: dict[LossCause, str] = {
    "crash": "the process ended during the attempt",
    "drain": "the service was stopped during the attempt",
}


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The base of facts and decisions. `at` is the time of the fact; a decision has the time of the fact that caused
    it."""

    at: int


# -- facts ------------------------------------------------------------------------------------------------------


class RunStarted(Entry, frozen=True, tag="run_started"):
    """A run started.

    `trigger`: the id of the trigger that started it. `url`: the address of the run's page.
    `arrival`: the value of `trigger` in expressions; kept only if a step reads it, or with an `error`.
    `error`: why the inputs could not be computed. The run fails before its first step.
    `not_before`, `expires_at`: the run is held back until `StartDue`.
    `is_delayed`: `not_before` is the end of a delay, not a time that the caller chose.
    `slot`: the key of its pipeline's concurrency.
    `queued_for`: the key of the slot that it waits for; it is held back until `SlotGranted`.
    `priority`: attempts of runs with a higher priority start first.
    `depth`: how many runs, each started by an event of the previous one, led to this run.
    `origin`: the id of the first event that led to this run; None if that is the run's own `event`.
    `source`: what the run repeats. `by`: who started it over the API, as the name of their key.
    `traceparent`: the span that requested the run, of the sender or of the step that started it.
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
    source: RunSource | None = None
    traceparent: str | None = None
    by: str | None = None

    @property
    def held_until(self) -> int | None:
        """The time at which a held-back run starts or expires, whichever is first; None if the run is not held back."""
        if self.error or (self.not_before is None and self.expires_at is None):
            return None
        begins = self.at if self.not_before is None else self.not_before
        return begins if self.expires_at is None else min(begins, self.expires_at)


class StartDue(Entry, frozen=True, tag="start_due"):
    """A held-back run reached its start time, or expired."""


class AttemptStarted(Entry, frozen=True, tag="attempt_started"):
    """An attempt is about to start. Written only for steps that must not be repeated automatically (`on_crash: park` or
    `fail`), and committed before the action is called."""

    path: str
    attempt: int


class StepCompleted(Entry, frozen=True, tag="step_completed"):
    """A step completed. This is its checkpoint: no later attempt can change the output.

    `undo`: the input of the action that undoes the step's effect, if it has one.
    `is_answer`: the output is sent as the HTTP response to the webhook.
    """

    path: str
    attempt: int = 0
    started_at: int | None = None
    output: Value = NULL
    undo: Value | None = None
    undo_secrets: tuple[SecretPlaceholder, ...] = ()
    is_answer: bool = False


class PageCompleted(Entry, frozen=True, tag="page_completed"):
    """A page of a step's output arrived, and another one follows. This is the page's checkpoint: no later attempt gets
    it again. The last page is part of the output in the step's `StepCompleted`.

    `page`: its number, from 0. `attempt`: the number of the step's attempt, counted over all of its pages.
    `items`, `count`: the page's list, and its length.
    `cursor`: where the next page begins.
    `marks`: hashes of what must not be repeated: `cursor`, and the body of the response.
    `due`: when the next page is requested; None for at once.
    """

    path: str
    attempt: int
    page: int
    started_at: int | None = None
    items: Value = NULL
    count: int = 0
    cursor: Value = NULL
    marks: tuple[str, ...] = ()
    due: int | None = None


class AttemptFailed(Entry, frozen=True, tag="attempt_failed"):
    """An attempt failed. `output` is set if the action returned, but its output is invalid."""

    path: str
    attempt: int
    error: Failure
    ending: Ending
    started_at: int | None = None
    output: Value | None = None


class AttemptLost(Entry, frozen=True, tag="attempt_lost"):
    """An attempt that started, or may have started, will never report its end: its process died, lost the run, or
    aborted the attempt on shutdown. Written by the node that recovers the run, or by the node that shuts down."""

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
    """The step's connector no longer exists, or its code no longer accepts the recorded input."""

    path: str
    attempt: int
    reason: str


class CancelRequested(Entry, frozen=True, tag="cancel_requested"):
    """A cancel of the run was requested. `by` is None if the service itself did, for the given reason."""

    reason: str | None = None
    by: str | None = None


class DeadlinePassed(Entry, frozen=True, tag="deadline_passed"):
    """The run's timeout, or the deadline of its cleanup, has passed."""


class RecoveryStopped(Entry, frozen=True, tag="recovery_stopped"):
    """The run was recovered `count` times without progress. The run itself may be what kills the process."""

    count: int


class SlotGranted(Entry, frozen=True, tag="slot_granted"):
    """A queued run received a slot of its pipeline's concurrency."""


class TimerFired(Entry, frozen=True, tag="timer_fired"):
    """The timer of a wait, a block or a call fired."""

    path: str


class SignalReceived(Entry, frozen=True, tag="signal_received"):
    """An answer or an event arrived for a wait, possibly before the wait started."""

    path: str
    name: str = ""
    data: Value = NULL
    by: str | None = None


class ChildEnded(Entry, frozen=True, tag="child_ended"):
    """The run that a step called has ended. `run` is None if it could not start."""

    path: str
    status: EndStatus
    run: str | None = None
    outputs: Value = NULL
    error: Failure | None = None


class StepResolved(Entry, frozen=True, tag="step_resolved"):
    """A person decided how to continue a step that is uncertain or has no attempts left: it is completed with this
    output, attempted again, or failed."""

    path: str
    verdict: Verdict
    output: Value = NULL
    by: str | None = None
    reason: str | None = None


class RunForked(Entry, frozen=True, tag="run_forked"):
    """The checkpoints of another run were copied, and the run goes on from the step at `path`: everything before this
    entry happened in the other run.

    `deadline`: when the run must have ended.
    `input`, `secrets`: what the step gets instead of the input that its version renders.
    """

    path: str
    deadline: int
    input: Value | None = None
    secrets: tuple[SecretPlaceholder, ...] = ()


class RunResumed(Entry, frozen=True, tag="run_resumed"):
    """A person resumed a paused run."""

    by: str | None = None
    reason: str | None = None


class RunRetried(Entry, frozen=True, tag="run_retried"):
    """A person retried a failed run: it continues from where it failed, and has its whole timeout again. A called run
    that its caller's end cancelled is retried with its caller."""

    by: str | None = None
    reason: str | None = None


# -- decisions --------------------------------------------------------------------------------------------------


class StepScheduled(Entry, frozen=True, tag="step_scheduled"):
    """The first attempt of a step is due now, with this input. References to secrets are stored in `secrets`, never in
    `input`. `has_undo` is recorded before the step has an effect. `cleanup_pass`: which performance of the run's
    cleanup the step belongs to; each one after a retry has idempotency keys of its own. `connection`: the name of the
    connection, if an expression has chosen it."""

    path: str
    input: Value = NULL
    secrets: tuple[SecretPlaceholder, ...] = ()
    has_undo: bool = False
    cleanup_pass: int = 1
    connection: str | None = None


class StepSkipped(Entry, frozen=True, tag="step_skipped"):
    """The step's `if` was false."""

    path: str


class RetryScheduled(Entry, frozen=True, tag="retry_scheduled"):
    """The step is attempted again at `due`, with the same input and the same idempotency key."""

    path: str
    attempt: int
    due: int


class StepFailed(Entry, frozen=True, tag="step_failed"):
    """The step failed and is not attempted again."""

    path: str
    error: Failure
    output: Value | None = None


class StepUncertain(Entry, frozen=True, tag="step_uncertain"):
    """It is unknown whether the step had its effect, and the step must not be repeated automatically."""

    path: str
    attempt: int
    error: Failure


class StepExhausted(Entry, frozen=True, tag="step_exhausted"):
    """The step has no attempts left, and a person has to decide how to continue (`on_exhausted: pause`)."""

    path: str
    attempt: int
    error: Failure


class StepCancelled(Entry, frozen=True, tag="step_cancelled"):
    """The step was interrupted by the end of the run or of a block that contains it."""

    path: str


class BlockStarted(Entry, frozen=True, tag="block_started"):
    """A block started. `items` is the list that a `foreach` iterates over."""

    path: str
    kind: str
    items: Value = NULL
    count: int = 0


class BranchStarted(Entry, frozen=True, tag="branch_started"):
    """A branch of a block started: a case, an item or turn (`index`, from 0), or a phase of a `try`."""

    path: str
    branch: str
    index: int | None = None


class BranchEnded(Entry, frozen=True, tag="branch_ended"):
    """A branch of a block ended."""

    path: str
    branch: str
    status: EndStatus
    index: int | None = None
    error: Failure | None = None


class StepReopened(Entry, frozen=True, tag="step_reopened"):
    """A step or block that failed or was cancelled continues, because the run is retried. A step is attempted again
    with its recorded input and its idempotency key; its retry policy starts anew."""

    path: str


class BranchReopened(Entry, frozen=True, tag="branch_reopened"):
    """A branch of a reopened block continues at the step at which it ended."""

    path: str
    branch: str
    index: int | None = None


class StepsVoided(Entry, frozen=True, tag="steps_voided"):
    """These steps of a cleanup are pending again, because the run is retried. If it fails again, they are performed in
    a further pass."""

    paths: tuple[str, ...]


class BranchesCancelled(Entry, frozen=True, tag="branches_cancelled"):
    """The block starts no further branch, and its running steps are cancelled; `finally` is still performed. An empty
    path means the whole cleanup."""

    path: str


class TimerSet(Entry, frozen=True, tag="timer_set"):
    """A block, or a call, continues at `due`."""

    path: str
    due: int


class WaitStarted(Entry, frozen=True, tag="wait_started"):
    """The step waits for the first of `awaits`. At `due`, a timer ends the wait."""

    path: str
    awaits: tuple[Await, ...]
    due: int | None = None


class ChildCalled(Entry, frozen=True, tag="child_called"):
    """The step calls a pipeline. `run` is the id of the called run. `is_again`: the step is reopened, and the called
    run is retried, or started if it never was."""

    path: str
    run: str
    is_again: bool = False


class UndoStarted(Entry, frozen=True, tag="undo_started"):
    """A `flow.undo` undoes these steps, in this order."""

    path: str
    targets: tuple[str, ...]


class UndoFailed(Entry, frozen=True, tag="undo_failed"):
    """A step's effect could not be undone and may persist."""

    path: str
    error: Failure


class RunPaused(Entry, frozen=True, tag="run_paused"):
    """The run is paused until a person decides; `path` is the step to decide on, if any."""

    reason: str
    path: str | None = None


class MainEnding(Entry, frozen=True, tag="main_ending"):
    """The main part ends early: its running steps are cancelled, and each `finally` is performed, until `deadline`."""

    status: EndStatus
    error: Failure | None = None
    reason: str | None = None
    deadline: int | None = None


class MainEnded(Entry, frozen=True, tag="main_ended"):
    """The main part of the run ended; `on_failure` follows and must end by `deadline`. `cleanup_error` is set if a
    `finally` failed."""

    status: EndStatus
    outputs: Value = NULL
    error: Failure | None = None
    reason: str | None = None
    deadline: int | None = None
    cleanup_error: Failure | None = None


class RunFinished(Entry, frozen=True, tag="run_finished"):
    """The run ended; no entry follows unless the run is retried. `cleanup_error` is set if `on_failure` failed."""

    status: EndStatus
    cleanup_error: Failure | None = None


Fact: TypeAlias = (
    RunStarted
    | StartDue
    | SlotGranted
    | AttemptStarted
    | StepCompleted
    | PageCompleted
    | AttemptFailed
    | AttemptLost
    | InputRefused
    | TimerFired
    | SignalReceived
    | ChildEnded
    | StepResolved
    | RunForked
    | RunResumed
    | RunRetried
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
    | StepReopened
    | BranchReopened
    | StepsVoided
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
