"""The log of a run: its entries, and the state that is their fold.

An entry is a *fact* that the shell reports (a run started, an attempt ended, a cancel came) or a *decision* that the
core takes because of one. `apply` folds an entry into the state in place and costs the same at every length; the
state is the fold of the history and nothing else. Times are wall-clock milliseconds.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec

from durable.action import Ending, ErrorClass
from durable.values import NULL, Value

SEMANTICS = 1
"""The number of the rules by which this core decides; a history carries the number of the core that began it."""

RunStatus: TypeAlias = Literal["queued", "running", "waiting", "paused", "completed", "failed", "cancelled"]
StepStatus: TypeAlias = Literal[
    "pending", "running", "waiting", "completed", "failed", "skipped", "uncertain", "cancelled"
]
EndStatus: TypeAlias = Literal["completed", "failed", "cancelled"]


CODE_LIMIT = 200
MESSAGE_LIMIT = 4_000
"""Characters of a failure's code and message."""


def _bounded(text: object, limit: int) -> str | None:
    if text is None:
        return None
    sound = str(text).encode(errors="replace").decode()
    return sound if len(sound) <= limit else f"{sound[:limit]} …"


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, rename={"error_class": "class"}):
    """Why a step or a run failed, as people read it in `error`; each part may be null."""

    error_class: ErrorClass | None = None
    code: str | None = None
    message: str | None = None
    step: str | None = None
    attempt: int | None = None
    details: Value = NULL
    retry_after: int | None = None  # milliseconds that the service asked for

    @classmethod
    def of(
        cls,
        error_class: ErrorClass | None,
        code: object,
        message: object,
        step: str | None = None,
        attempt: int | None = None,
        **more: Any,
    ) -> "Failure":
        """A failure whose texts are texts, and no longer than a history bears."""
        return cls(error_class, _bounded(code, CODE_LIMIT), _bounded(message, MESSAGE_LIMIT), step, attempt, **more)


class SecretName(msgspec.Struct, frozen=True):
    """A reference to a secret; its value never enters a history."""

    secret: str


class Slot(msgspec.Struct, frozen=True):
    """A place in an input where a secret stands: the path to it, and the text with the references in it."""

    pointer: tuple[str | int, ...]
    parts: tuple[str | SecretName, ...]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One fact or decision; `at` is the time of the fact that caused it."""

    at: int


# -- facts ------------------------------------------------------------------------------------------------------


class RunStarted(Entry, frozen=True, tag="run_started"):
    """A run began. `error` stands where its inputs could not be made; it then fails before its first step.

    `trigger` is the id of what started it, `arrival` what steps read as `trigger` (kept only where they do), `url`
    where people see the run. A run with a `not_before` or an `expires_at` is held back until `StartDue`. Attempts of a
    higher `priority` get a slot first.
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
    semantics: int = SEMANTICS

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
    """The checkpoint: the step's output, which no later attempt can change."""

    path: str
    attempt: int = 0
    started_at: int | None = None
    output: Value = NULL


class AttemptFailed(Entry, frozen=True, tag="attempt_failed"):
    """An attempt ended without an output. `output` stands where the action returned and what it returned is unfit."""

    path: str
    attempt: int
    error: Failure
    ending: Ending
    started_at: int | None = None
    output: Value | None = None


class AttemptLost(Entry, frozen=True, tag="attempt_lost"):
    """The process died, or lost the run, while a durably started attempt had no ending."""

    path: str
    attempt: int


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


# -- decisions --------------------------------------------------------------------------------------------------


class StepScheduled(Entry, frozen=True, tag="step_scheduled"):
    """A step's first attempt is due now, with this input; `secrets` stand beside it, never inside."""

    path: str
    input: Value = NULL
    secrets: tuple[Slot, ...] = ()


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


class StepCancelled(Entry, frozen=True, tag="step_cancelled"):
    """The run ended while the step was under way."""

    path: str


class RunPaused(Entry, frozen=True, tag="run_paused"):
    """The run goes no further until a person decides."""

    reason: str


class MainEnded(Entry, frozen=True, tag="main_ended"):
    """The main part of the run ended; what follows is cleanup (`on_failure`), until `deadline`."""

    status: EndStatus
    outputs: Value = NULL
    error: Failure | None = None
    reason: str | None = None
    deadline: int | None = None


class RunFinished(Entry, frozen=True, tag="run_finished"):
    """The end; nothing follows it. `cleanup_error` stands where `on_failure` failed itself."""

    status: EndStatus
    cleanup_error: Failure | None = None


Fact: TypeAlias = (
    RunStarted
    | StartDue
    | AttemptStarted
    | StepCompleted
    | AttemptFailed
    | AttemptLost
    | InputRefused
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
    | StepCancelled
    | RunPaused
    | MainEnded
    | RunFinished
)
AnyEntry: TypeAlias = Fact | Decision

_VALUE_FIELDS = ("inputs", "arrival", "input", "output", "outputs")

_decoder = msgspec.json.Decoder(list[AnyEntry])


def encode_entries(entries: Iterable[AnyEntry]) -> tuple[bytes, dict[str, bytes]]:
    """Encode what one append writes: the entries as a JSON array, and the payloads that they name, by SHA-256."""
    payloads: dict[str, bytes] = {}
    return msgspec.json.encode([_lightened(entry, payloads) for entry in entries]), payloads


def decode_entries(data: bytes) -> list[AnyEntry]:
    """The entries of one append; large values come without their bytes."""
    return _decoder.decode(data)


def values(entry: AnyEntry) -> dict[str, Value]:
    """The values that an entry carries, by field."""
    found = {name: getattr(entry, name, None) for name in _VALUE_FIELDS}
    return {name: value for name, value in found.items() if isinstance(value, Value)}


def detach(entries: Iterable[AnyEntry]) -> None:
    """Let go of the bytes of large values, once they are rows of the journal."""
    for entry in entries:
        for value in values(entry).values():
            if value.ref is not None:
                value.detach()


def _lightened(entry: AnyEntry, payloads: dict[str, bytes]) -> AnyEntry:
    changes: dict[str, Value] = {}
    for name, value in values(entry).items():
        if value.ref is not None:
            changes[name] = value.reference()
            if value.is_loaded:
                payloads[value.ref] = bytes(value.data)
    return msgspec.structs.replace(entry, **changes) if changes else entry


# -- the fold ---------------------------------------------------------------------------------------------------


class StepState(msgspec.Struct):
    """What is known of a step that was reached. `crashes` counts attempts that ended with the process."""

    status: StepStatus
    input: Value = NULL
    secrets: tuple[Slot, ...] = ()
    attempt: int = 0
    crashes: int = 0
    is_started: bool = False  # the attempt's start is in the history
    due: int | None = None
    output: Value = NULL
    error: Failure | None = None
    scheduled_at: int | None = None
    finished_at: int | None = None


class State(msgspec.Struct):
    """A run as its history tells it. `active` names the steps that are under way, in the order in which they began."""

    run: str
    entries: int = 0
    started: RunStarted | None = None
    steps: dict[str, StepState] = {}
    active: dict[str, None] = {}
    is_queued: bool = False  # held back: no step was reached yet
    paused: str | None = None
    main: MainEnded | None = None
    finished: RunFinished | None = None
    at: int = 0

    @property
    def status(self) -> RunStatus:
        if self.finished:
            return self.finished.status
        if self.paused is not None:
            return "paused"
        if self.is_queued:
            return "queued"
        if self.active and all(self.steps[path].status == "waiting" for path in self.active):
            return "waiting"
        return "running"

    @property
    def reason(self) -> str | None:
        """Why it is paused, or why it ended as it did."""
        return self.paused if self.paused is not None else self.main.reason if self.main else None

    @property
    def error(self) -> Failure | None:
        return self.main.error if self.main else None

    @property
    def inputs(self) -> Value:
        return self.started.inputs if self.started else NULL

    @property
    def deadline(self) -> int | None:
        """When the part of the run that is under way must be over."""
        if self.main:
            return self.main.deadline
        return self.started.deadline if self.started else None

    @property
    def start_due(self) -> int | None:
        """When the turn of a run comes that is held back; None for any other."""
        return self.started.held_until if self.started and self.is_queued else None

    @property
    def due(self) -> int | None:
        """When something must happen to this run even if nothing arrives; None once it has finished."""
        if self.finished:
            return None
        steps = () if self.paused is not None else (self.steps[path].due for path in self.active)
        dues = (self.start_due if self.paused is None else None, *steps, self.deadline)
        return min((due for due in dues if due is not None), default=None)


def fold(run: str, entries: Iterable[AnyEntry]) -> State:
    """The state that a history amounts to."""
    state = State(run=run)
    for entry in entries:
        apply(state, entry)
    return state


def apply(state: State, entry: AnyEntry) -> None:
    """Fold one entry into the state, in place."""
    state.entries += 1
    state.at = entry.at
    match entry:
        case RunStarted():
            state.started, state.is_queued = entry, entry.held_until is not None
        case StartDue():
            state.is_queued = False
        case StepScheduled():
            state.steps[entry.path] = StepState(
                "running", entry.input, entry.secrets, attempt=1, due=entry.at, scheduled_at=entry.at
            )
            state.active[entry.path] = None
        case StepSkipped():
            state.steps[entry.path] = StepState("skipped", finished_at=entry.at)
        case AttemptStarted():
            state.steps[entry.path].is_started = True
        case AttemptFailed():
            step = state.steps[entry.path]
            step.error, step.is_started = entry.error, False
        case AttemptLost():
            step = state.steps[entry.path]
            step.crashes, step.is_started = step.crashes + 1, False
        case RetryScheduled():
            step = state.steps[entry.path]
            step.status, step.attempt, step.due = "waiting", entry.attempt, entry.due
        case StepCompleted() | StepFailed() | StepUncertain() | StepCancelled():
            _end_step(state, entry)
        case RunPaused():
            state.paused = entry.reason
        case MainEnded():
            state.main, state.paused, state.is_queued = entry, None, False
        case RunFinished():
            state.finished = entry
        case InputRefused() | CancelRequested() | DeadlinePassed() | RecoveryStopped():
            pass


def _end_step(state: State, entry: StepCompleted | StepFailed | StepUncertain | StepCancelled) -> None:
    step = state.steps.setdefault(entry.path, StepState("pending"))
    state.active.pop(entry.path, None)
    step.due, step.finished_at = None, entry.at
    match entry:
        case StepCompleted():
            step.status, step.output, step.error = "completed", entry.output, None
        case StepFailed():
            step.status, step.error = "failed", entry.error
            step.output = entry.output or NULL
        case StepUncertain():
            step.status, step.error = "uncertain", entry.error
        case StepCancelled():
            step.status = "cancelled"
