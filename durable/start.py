"""A run to be: what is decided before the commit that accepts its event."""

from collections.abc import Callable
from dataclasses import dataclass, field

from durable.clock import new_id
from durable.decide import Advance, Effect
from durable.definition import Definition
from durable.history import AnyEntry, Failure, RunStarted, State
from durable.journal import Event, NewRun, RunView
from durable.values import JSON, NULL, Value


@dataclass(frozen=True, slots=True)
class Start:
    """What starts a run: a definition, the trigger's id, the inputs or why they could not be made, and what steps
    read as `trigger`. It begins at `not_before` (ms) at the earliest, and ends without having begun at `expires_at`."""

    definition: Definition
    trigger: str | None
    inputs: dict[str, JSON] = field(default_factory=dict)
    arrival: JSON = None
    error: Failure | None = None
    not_before: int | None = None
    expires_at: int | None = None
    tags: tuple[str, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """A run as its first decision leaves it: to be appended, and then performed."""

    definition: Definition
    state: State
    entries: list[AnyEntry]
    effects: list[Effect]
    trigger: str | None

    def row(self, event: Event) -> NewRun:
        """What the admission of the event writes of it."""
        return NewRun(
            id=self.state.run,
            pipeline=self.definition.spec.id,
            version=self.definition.version,
            trigger=self.trigger,
            created_at=event.time,
            entries=self.entries,
            view=RunView.of(self.state),
            tags=self.state.started.tags if self.state.started else (),
        )


def begin(event: Event, start: Start, url: Callable[[str], str | None]) -> Begun:
    """Begin a run of the event; `url` says where people will see it."""
    definition, run = start.definition, new_id("run", event.time)
    started = RunStarted(
        at=event.time,
        pipeline=definition.spec.id,
        version=definition.version,
        deadline=event.time + definition.spec.timeout,
        inputs=NULL if start.error else Value.of(dict(start.inputs)),
        event=event.id,
        trigger=start.trigger,
        arrival=Value.of(start.arrival) if definition.reads_arrival else NULL,
        url=url(run),
        error=start.error,
        not_before=start.not_before,
        expires_at=start.expires_at,
        tags=start.tags,
        priority=start.priority,
    )
    advance = Advance(definition, State(run=run), started)
    advance.follow()
    return Begun(definition, advance.state, advance.entries, advance.effects, start.trigger)
