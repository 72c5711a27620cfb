"""What a run sets going outside itself: a run of another pipeline, an event. Each is asked for again after a crash, and
its dedupe claim makes it happen once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from durable.clock import new_id
from durable.definition import Definition, InputsRefused
from durable.history.state import State
from durable.history.words import Failure, Parent
from durable.runner.claims import make_step_key
from durable.runner.start import Start
from durable.units import Event
from durable.values import JSON, Value

SOURCE = "waypost"
DETACHED = "detach"


class ServedPipelines(Protocol):
    """The pipelines as they are now."""

    def definition(self, pipeline: str) -> Definition | None:
        """The pipeline of that id, if it is served."""
        ...

    def starts(self, event: Event) -> Sequence[Start]:
        """What an event starts."""
        ...


class NoPipelines:
    """No pipeline at all."""

    def definition(self, pipeline: str) -> Definition | None:
        return None

    def starts(self, event: Event) -> Sequence[Start]:
        return ()


def build_child(state: State, path: str, run: str, given: dict[str, JSON], served: ServedPipelines) -> Start | Failure:
    """The run that a `flow.call` starts, or why it cannot."""
    pipeline = str(given.get("pipeline"))
    definition = served.definition(pipeline)
    if definition is None:
        return Failure.of("invalid", "no_pipeline", f"no pipeline {pipeline!r} is served", path)
    inputs = given.get("inputs")
    try:
        accepted = definition.accept(dict(inputs) if isinstance(inputs, dict) else {})
    except InputsRefused as refused:
        return Failure.of("invalid", "inputs", f"inputs of {pipeline}: {refused}", path)
    parent = Parent(state.run, path, state.depth + 1, is_detached=bool(given.get(DETACHED)))
    priority = state.started.priority if state.started else 0
    return Start(definition, "call", accepted, run=run, parent=parent, priority=priority, origin=state.origin)


def build_call_event(state: State, path: str, at: int) -> Event:
    """The event of a call."""
    return Event(id=new_id("evt", at), source=SOURCE, key=make_step_key(state, path), type=None, time=at)


def build_emitted_event(state: State, path: str, given: dict[str, JSON], at: int) -> Event:
    """The event that a `flow.emit` sends."""
    subject = given.get("subject")
    return Event(
        id=new_id("evt", at),
        source=SOURCE,
        key=make_step_key(state, path),
        type=str(given.get("type")),
        time=at,
        subject=subject if subject is None or isinstance(subject, str) else Value.of(subject).text,
        data=Value.of(given.get("data")),
    )


def list_starts(state: State, event: Event, served: ServedPipelines) -> list[Start]:
    """What an event of a run starts."""
    return [replace(start, depth=state.depth + 1, origin=state.origin) for start in served.starts(event)]
