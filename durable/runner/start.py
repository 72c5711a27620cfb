"""Starts a run: makes its first decisions, before the commit that accepts its event."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from durable.cause import describe_run
from durable.clock import new_id
from durable.decide.advance import Advance
from durable.decide.copy import CopiedRun
from durable.decide.outstanding import find_outstanding
from durable.definition import Definition
from durable.effects import Effect
from durable.engine import Start
from durable.expressions.expression import ExpressionError
from durable.history.entries import AnyEntry, RunStarted
from durable.history.state import State
from durable.history.words import SEMANTICS, Failure, Links
from durable.replay import replay_entries
from durable.runner.side_effects import build_side_effects
from durable.scope import RunScope
from durable.units import Event, NewRun, QueuedStart, SideEffects, SlotRequest
from durable.values import NULL, Value


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run after its first decisions: its entries have to be committed, then its effects performed.

    `queued`: how the run begins if it needs a concurrency slot and gets none.
    `is_unowned`: the run does not come into memory yet.
    """

    definition: Definition
    state: State
    entries: list[AnyEntry]
    effects: list[Effect]
    trigger: str | None
    contention: SlotRequest | None = None
    queued: "BegunRun | None" = None
    is_unowned: bool = False

    def build_row(self, event: Event) -> NewRun:
        """Return what the admission of the event writes for the run."""
        return NewRun(
            id=self.state.run,
            pipeline=self.definition.id,
            version=self.definition.version,
            trigger=self.trigger,
            created_at=self.state.forked.at if self.state.forked else self.state.started_at,
            entries=self.entries,
            view=describe_run(self.definition, self.state),
            tags=self.state.started.tags if self.state.started else (),
            slot_request=self.contention,
            queued=self.queued.beginning if self.queued else None,
            side_effects=self._beside,
            listens=self.definition.listens,
            is_unowned=self.is_unowned,
            source=self.state.started.source.of if self.state.started and self.state.started.source else None,
        )

    @property
    def beginning(self) -> QueuedStart:
        return QueuedStart(self.entries, describe_run(self.definition, self.state), self._beside)

    @property
    def _beside(self) -> SideEffects | None:
        return build_side_effects(self.definition, self.state, self.entries, self.effects)


@dataclass(frozen=True, slots=True)
class RunAddresses:
    """The URLs of a run's page and of the links to its waits."""

    run: Callable[[str], str | None]
    waits: str

    def make_links(self) -> Links:
        return Links(self.waits, secrets.token_hex(16))


Copy: TypeAlias = Callable[[str, RunStarted], CopiedRun]
"""Begins a run, given its id and its first entry, with what another run did."""


def begin_run(event: Event, start: Start, addresses: RunAddresses, copy: Copy | None = None) -> BegunRun:
    """Start a run for an event; with `copy`, as a fork of another run."""
    definition, at = start.definition, event.time if start.at is None else start.at
    run = start.run or new_id("run", at)
    started = RunStarted(
        at=at,
        pipeline=definition.id,
        version=definition.version,
        deadline=at + definition.pipeline.timeout,
        inputs=NULL if start.error else Value.of(dict(start.inputs)),
        event=event.id,
        trigger=start.trigger,
        # A run whose inputs could not be computed keeps it as well, so that a rerun can compute them.
        arrival=Value.of(start.arrival) if definition.reads_arrival or start.error else NULL,
        url=addresses.run(run),
        error=start.error,
        not_before=start.not_before,
        expires_at=start.expires_at,
        tags=start.tags,
        priority=start.priority,
        semantics=SEMANTICS,
        parent=start.parent,
        depth=start.depth,
        is_delayed=start.is_delayed,
        origin=start.origin,
        source=start.source,
        traceparent=start.traceparent,
        by=start.by,
        links=addresses.make_links() if definition.has_links else None,
    )
    if definition.pipeline.concurrency is None or start.error:
        return _begin(start, run, started, copy)
    return _begin_contending(start, run, started, copy)


def _begin(start: Start, run: str, started: RunStarted, copy: Copy | None, **more: SlotRequest | BegunRun) -> BegunRun:
    if copy is not None:
        copied = copy(run, started)
        effects = find_outstanding(start.definition, copied.state, copied.state.at)
        return BegunRun(start.definition, copied.state, copied.entries, effects, start.trigger, **more)  # type: ignore[arg-type]  # by name
    advance = Advance(start.definition, State(run=run), started)
    advance.follow()
    return BegunRun(start.definition, advance.state, advance.entries, advance.effects, start.trigger, **more)  # type: ignore[arg-type]  # by name


def _begin_contending(start: Start, run: str, started: RunStarted, copy: Copy | None) -> BegunRun:
    """Start a run whose pipeline limits its concurrency; the commit decides whether it gets a slot."""
    try:
        contention = _build_contention(start.definition, run, started)
    except ExpressionError as error:
        failure = Failure.of("invalid", "expression", f"concurrency: {error}")
        return _begin(start, run, msgspec.structs.replace(started, error=failure), copy)
    started = msgspec.structs.replace(started, slot=contention.key)
    queued = _begin(start, run, msgspec.structs.replace(started, queued_for=contention.key), copy)
    return _begin(start, run, started, copy, contention=contention, queued=queued)


def _build_contention(definition: Definition, run: str, started: RunStarted) -> SlotRequest:
    concurrency = definition.pipeline.concurrency
    assert concurrency
    key = definition.id
    if definition.concurrency_key:
        rendered, _ = definition.concurrency_key.render(RunScope(definition, replay_entries(run, [started])))
        key = f"{key}:{rendered if isinstance(rendered, str) else Value.of(rendered).text}"
    return SlotRequest(key, concurrency.limit, concurrency.overflow, is_held_back=started.held_until is not None)
