"""The port of the engine: what the ways in see of it. They start runs, answer them, wait for their ends, and stop.

`durable.runner` is the engine that works inside this process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from durable.definition import Definition
from durable.history.words import Failure, Parent, Verdict
from durable.units import Admitted, DedupeKey, Delivery, Event, PostOutcome, Run, ScheduleProgress
from durable.values import JSON


class Overloaded(Exception):
    """The service takes no more runs for now; `retry_after` is in seconds."""

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Start:
    """What starts a run: a definition, the trigger's id, the inputs or why they could not be made, and what steps
    read as `trigger`. It begins at `not_before` (ms) at the earliest, and ends without having begun at `expires_at`;
    if it `is_delayed`, the former is the end of a span of time.
    A run that a step called has its name and its `parent` from there; `origin` is the first event (its id) that led to
    a run that another set going."""

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


class ServedPipelines(Protocol):
    """The pipelines that are served now, which the engine asks for."""

    def definition(self, pipeline: str) -> Definition | None:
        """The pipeline of that id, if it is served."""
        ...

    def starts(self, event: Event) -> Sequence[Start]:
        """What an event starts."""
        ...


class Engine(Protocol):
    """Runs pipelines durably. What it accepts is committed when its methods return."""

    when_ended: Callable[[str], None]
    """Called with the id of every run that has ended."""

    @property
    def is_draining(self) -> bool:
        """Whether nothing is taken in any more."""
        ...

    async def offer(self, *definitions: Definition) -> None:
        """Make definitions known, so that runs of them can begin."""
        ...

    def knows(self, definition: Definition) -> bool:
        """Whether it was offered already."""
        ...

    async def admit(
        self,
        event: Event,
        starts: Sequence[Start],
        *,
        dedupe_keys: Sequence[DedupeKey] = (),
        delivery: Delivery | None = None,
        schedule: ScheduleProgress | None = None,
    ) -> Admitted:
        """Start the runs of an event in one commit and return after it; raises `Overloaded` or a `JournalError`."""
        ...

    async def emit(self, event: Event, *, dedupe_keys: Sequence[DedupeKey] = ()) -> Admitted:
        """Admit an event, for those who wait for it and with the runs that it starts. It takes its dedupe keys even
        if it starts none."""
        ...

    async def cancel(self, run: str, reason: str | None = None) -> bool:
        """Ask for a run's end; False if there is no such unfinished run."""
        ...

    async def answer(self, run: str, path: str, name: str, data: JSON) -> PostOutcome:
        """Answer a wait; `name` is that of one wait of a `wait.any`. What comes first ends it: an answer, an event, its
        time."""
        ...

    async def resolve(
        self, run: str, path: str, verdict: Verdict, *, output: JSON = None, by: str | None, reason: str | None
    ) -> bool:
        """Decide for a step that needs a person; False if there is no such unfinished run."""
        ...

    async def resume(self, run: str, by: str | None) -> bool:
        """Let a paused run go on; False if there is no such unfinished run."""
        ...

    def explain_wait(self, run: Run) -> str | None:
        """Which limit of Waypost's own a run waits for, as people read it; None if it waits for none."""
        ...

    async def wait_for_end(self, run: str, seconds: float) -> None:
        """Return once the run has ended, the service drains, or the time is over."""
        ...

    async def wait_for_answer(self, run: str, seconds: float) -> None:
        """Return once a step of the run has answered, the run has ended, the service drains, or the time is over."""
        ...

    def count_unreadable(self) -> int:
        """How many runs are paused because a part of them cannot be read."""
        ...

    def begin_draining(self) -> None:
        """Take in and start nothing more, and let nobody wait any longer for the end or the answer of a run."""
        ...

    async def drain(self, timeout: float) -> None:
        """Start nothing more, let the attempts under way end within `timeout` seconds, and let go of every run."""
        ...
