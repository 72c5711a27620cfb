"""Reruns: a new run of the same event, on the newest version of its pipeline."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from durable.clock import new_id
from durable.definition import Definition, InputsRefused
from durable.engine import Engine, Start
from durable.history.words import RunSource
from durable.journal.journal import Journal
from durable.units import DedupeKey
from durable.values import JSON
from triggers.config.folder import Folder
from triggers.repeats.recorded import RecordedRun, find_served, load_recorded_run
from triggers.repeats.refusal import RepeatRefused
from triggers.trigger import Trigger, build_trigger_document

InputsOrigin: TypeAlias = Literal["mapped", "recorded", "given"]
"""Where the inputs of a repeated run come from: the trigger's newest mapping, the run that is repeated, or a person."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A run that repeats another. `is_duplicate`: an earlier request with the same key started it."""

    run: str
    version: str
    inputs: InputsOrigin
    is_duplicate: bool


class Reruns:
    """Reruns of runs that have ended or are paused."""

    def __init__(self, engine: Engine, journal: Journal, folder: Folder, now: Callable[[], int]) -> None:
        self._engine = engine
        self._journal = journal
        self._folder = folder
        self._now = now

    async def rerun(
        self, run: str, *, by: str | None, reason: str | None = None, key: DedupeKey | None = None
    ) -> Repeated:
        """Start a new run of the run's event, and return after its commit. With a `key`, only the first request does.

        Raises `RepeatRefused`, `RunNotFound`, `RunUnreadable`, `Overloaded` and a `JournalError`.
        """
        recorded = await load_recorded_run(self._journal, run)
        definition = find_served(self._folder, recorded.row.pipeline)
        start, origin = self._build_start(definition, recorded)
        start = mark_repeat(start, recorded, RunSource("rerun", run, by=by, reason=reason), self._now())
        admitted = await self._engine.admit(recorded.event, [start], dedupe_keys=[key] if key else (), is_recorded=True)
        if not admitted.runs:
            raise RepeatRefused("the pipeline's concurrency allows no more runs now, and skips what is above its limit")
        return Repeated(admitted.runs[0], definition.version, origin, admitted.is_duplicate)

    def _build_start(self, definition: Definition, recorded: RecordedRun) -> tuple[Start, InputsOrigin]:
        """The run to start, and where its inputs come from. `when` is not asked again: a person asked for the run."""
        trigger = self._find_trigger(definition, recorded.trigger)
        document = recorded.arrival
        if document is None:
            document = rebuild_document(trigger, recorded)
        if trigger is not None and document is not None:
            start = trigger.make_start(document)
            if start.error:
                raise make_unfit(recorded.row.id, definition, str(start.error.message))
            return start, "mapped"
        ensure_arrival(definition, document)
        return Start(definition, recorded.row.trigger, accept_recorded(definition, recorded), document), "recorded"

    def _find_trigger(self, definition: Definition, id: str | None) -> Trigger | None:
        of_pipeline = (each for each in self._folder.triggers if each.definition.id == definition.id)
        return next((each for each in of_pipeline if each.id == id), None)


def rebuild_document(trigger: Trigger | None, recorded: RecordedRun) -> JSON:
    """The `trigger` document of the run's event; None if it was not kept."""
    event = recorded.event
    if trigger is not None:
        return trigger.rebuild_document(event)
    is_from_api = recorded.trigger is None and recorded.started.parent is None
    return build_trigger_document(event.key, event.source, event.time) if is_from_api else None


def mark_repeat(start: Start, recorded: RecordedRun, source: RunSource, at: int) -> Start:
    """The start of a run that repeats another: it has the other's tags, priority and depth, and begins now.

    The runs that descend from it are counted anew, so that a repeated run is not stopped by the bound of the first.
    """
    run, first = new_id("run", at), recorded.started
    return replace(
        start,
        run=run,
        origin=run,
        tags=first.tags,
        priority=first.priority,
        depth=recorded.depth,
        source=source,
        at=at,
    )


def accept_recorded(definition: Definition, recorded: RecordedRun) -> dict[str, JSON]:
    """The inputs of the run that is repeated; raises `RepeatRefused` if the version does not take them."""
    if recorded.inputs is None:
        what = f"run {recorded.row.id} has no inputs: they could not be made, and what arrived was not kept"
        raise RepeatRefused(f"{what}; give them: `waypost fork {recorded.row.id} --inputs JSON`", is_unfit=True)
    try:
        return definition.accept(recorded.inputs)
    except InputsRefused as refused:
        raise make_unfit(recorded.row.id, definition, str(refused)) from None


def ensure_arrival(definition: Definition, arrival: JSON) -> None:
    """Raise `RepeatRefused` if a step of the version reads `trigger`, and nothing was kept that it could read."""
    if arrival is None and definition.reads_arrival:
        raise RepeatRefused(
            f"version {definition.version[:12]} reads `trigger`, and what arrived for this run was not kept"
        )


def make_unfit(run: str, definition: Definition, problems: str) -> RepeatRefused:
    what = f"the inputs do not fit version {definition.version[:12]}: {problems}"
    return RepeatRefused(f"{what}; give others: `waypost fork {run} --inputs JSON`", is_unfit=True)
