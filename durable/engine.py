"""The interface of the engine, as triggers and the API see it: start runs, answer waits, wait for ends, and shut down.

`durable.runner` implements it in this process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from durable.definition import Definition
from durable.history.words import Failure, Parent, RunSource, SecretPlaceholder, Verdict
from durable.reports import GateReport, PermitReport
from durable.units import Admitted, DedupeKey, Delivery, Event, PostOutcome, Run, ScheduleProgress
from durable.values import JSON


class Overloaded(Exception):
    """The service accepts no more runs for now; `retry_after` is in seconds."""

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Start:
    """The arguments with which a run starts.

    `trigger`: the id of the trigger.
    `inputs`, `error`: the run's inputs, or why they could not be computed.
    `arrival`: the value of `trigger` in expressions.
    `not_before`: the earliest time at which the run starts, in ms.
    `is_delayed`: `not_before` is the end of a delay, not a time that the caller chose.
    `expires_at`: when the run is cancelled if it has not started, in ms.
    `run`, `parent`: set for a run that a step calls: its id, and the calling step.
    `origin`: set for a run that another run started: the id of the first event that led to it.
    `source`: what the run repeats.
    `at`: when the run starts, in ms; None means the event's time.
    `traceparent`: the span that requested it; see `durable.trace`.
    `by`: who started it over the API: the name of their key.
    """

    definition: Definition
    trigger: str | None
    inputs: dict[str, JSON] = field(default_factory=dict)
    arrival: JSON = None
    error: Failure | None = None
    not_before: int | None = None
    expires_at: int | None = None
    tags: tuple[str, ...] = ()
    priority: int = 0
    run: str | None = None
    parent: Parent | None = None
    depth: int = 0
    is_delayed: bool = False
    origin: str | None = None
    source: RunSource | None = None
    at: int | None = None
    traceparent: str | None = None
    by: str | None = None


class RetryOutcome(NamedTuple):
    """The result of a retry. `reason`: why it was refused, and what to do instead."""

    outcome: Literal["retried", "refused", "missing"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """The input of a step as it was recorded; secrets stand in `secrets`, as references."""

    input: JSON
    secrets: tuple[SecretPlaceholder, ...] = ()


@dataclass(frozen=True, slots=True)
class ForkOrder:
    """What is forked: the run, the path of the step from which the fork goes on, and, if that is edited, the input that
    the step gets: a function of the recorded one, which is None if none was recorded."""

    of: str
    step: str
    edit: Callable[[RecordedInput | None], RecordedInput] | None = None


@dataclass(frozen=True, slots=True)
class Forked:
    """A fork. `copied`: how many checkpoints were copied. `again`: the steps that are performed again beside its step,
    since they ran at the time and have no checkpoint."""

    admitted: Admitted
    copied: int
    again: tuple[str, ...]


class ServedPipelines(Protocol):
    """The pipelines that are currently served. The engine looks them up here."""

    def definition(self, pipeline: str) -> Definition | None:
        """Return the definition of a pipeline; None if it is not served."""
        ...

    def starts(self, event: Event) -> Sequence[Start]:
        """Return what an event starts."""
        ...


class Engine(Protocol):
    """Runs pipelines durably. When a method returns, what it accepted is committed."""

    when_ended: Callable[[str], None]
    """Called with the id of every run that has ended."""

    @property
    def is_draining(self) -> bool:
        """Whether new work is refused."""
        ...

    async def offer(self, *definitions: Definition) -> None:
        """Register definitions, so that runs of them can start."""
        ...

    def knows(self, definition: Definition) -> bool:
        """Whether the definition was registered with `offer`."""
        ...

    async def admit(
        self,
        event: Event,
        starts: Sequence[Start],
        *,
        dedupe_keys: Sequence[DedupeKey] = (),
        delivery: Delivery | None = None,
        schedule: ScheduleProgress | None = None,
        is_recorded: bool = False,
        free_keys: Sequence[DedupeKey] = (),
        renews: tuple[str, ...] | None = None,
    ) -> Admitted:
        """Commit an event and start its runs in the same commit; raises `Overloaded` or a `JournalError`.

        `is_recorded`: the event is in the journal already, and only the runs are new. `free_keys`: dedupe keys that are
        taken if they are free, and refuse nothing. `renews`: see `Admission`."""
        ...

    async def fork(
        self, event: Event, start: Start, order: ForkOrder, *, dedupe_keys: Sequence[DedupeKey] = ()
    ) -> Forked:
        """Start a run of a recorded event that goes on from a step of another run of it, and return after the commit.

        Raises `ForkRefused`, `RunUnreadable`, `Overloaded` or a `JournalError`."""
        ...

    async def emit(
        self, event: Event, *, dedupe_keys: Sequence[DedupeKey] = (), traceparent: str | None = None
    ) -> Admitted:
        """Admit an event, start the runs of its triggers and deliver it to runs that wait for it. Its dedupe keys are
        taken even if no run starts. `traceparent`: the span that sent the event."""
        ...

    async def cancel(
        self, run: str, reason: str | None = None, by: str | None = None, *, once: DedupeKey | None = None
    ) -> bool:
        """Request that a run ends; False if there is no such unfinished run. A request with a key `once` that was taken
        changes nothing; the result is the first one's."""
        ...

    async def answer(self, run: str, path: str, name: str, data: JSON, by: str | None = None) -> PostOutcome:
        """Answer a wait. `name` is the name of a wait inside a `wait.any`; `by` is who answers. The first of an answer,
        an event and the timer ends the wait."""
        ...

    async def resolve(
        self, run: str, path: str, verdict: Verdict, *, output: JSON = None, by: str | None, reason: str | None
    ) -> bool:
        """Decide how to continue a step that needs a person's decision; False if there is no such unfinished run."""
        ...

    async def resume(self, run: str, by: str | None, reason: str | None = None) -> bool:
        """Resume a paused run; False if there is no such unfinished run."""
        ...

    async def retry(
        self, run: str, *, by: str | None, reason: str | None, once: DedupeKey | None = None
    ) -> RetryOutcome:
        """Let a failed run continue where it failed, with the same keys, or end the pause of a paused run. Refused if
        the run would fail in the same way, or another request was first. A request with a key `once` that was taken
        changes nothing; the result is the first one's."""
        ...

    def explain_progress(self, run: Run) -> str | None:
        """Explain which of Waypost's own limits a run waits for, or which steps it performs, as text for people; None
        if neither is known here."""
        ...

    def apply_limits(self) -> None:
        """Apply the limits of connections, which may have changed."""
        ...

    def report_gate(self, connection: str) -> GateReport | None:
        """Report what holds the attempts of a connection back; None if none was made since the service started."""
        ...

    def report_permits(self) -> PermitReport:
        """Report how the permits for attempts are shared."""
        ...

    async def call_action(self, use: str, connection: str, given: Mapping[str, JSON]) -> JSON:
        """Call an action once, outside of runs and without a record, and return its output. Raises `ActionError`."""
        ...

    async def wait_for_end(self, run: str, seconds: float) -> None:
        """Return when the run has ended, the service drains, or the timeout has passed."""
        ...

    async def wait_for_answer(self, run: str, seconds: float) -> None:
        """Return when a step of the run has answered, the run has ended, the service drains, or the timeout has
        passed."""
        ...

    def is_busy(self) -> bool:
        """Whether attempts or commits wait for their turn, or memory is scarce: work that can wait should."""
        ...

    def count_unreadable(self) -> int:
        """Return how many runs are paused because some of their data cannot be read."""
        ...

    def begin_draining(self) -> None:
        """Accept and start nothing more, and wake all callers that wait for the end or the answer of a run."""
        ...

    async def drain(self, timeout: float) -> None:
        """Start nothing more, give running attempts `timeout` seconds to end, and release every run."""
        ...
