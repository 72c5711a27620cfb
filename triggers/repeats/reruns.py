"""Reruns: a new run of the same event, on the newest version of its pipeline."""

from collections.abc import Callable

from durable.definition import Definition
from durable.engine import Engine, Start
from durable.history.words import RunSource
from durable.journal.journal import Journal
from durable.journal.runs import find_newest_repeat
from durable.units import DedupeKey
from triggers.config.folder import Folder
from triggers.repeats.recorded import RecordedRun, find_served, load_recorded_run
from triggers.repeats.repeated import (
    InputsOrigin,
    Repeated,
    accept_recorded,
    ensure_admitted,
    ensure_arrival,
    find_trigger,
    load_arrival,
    make_unfit,
    mark_repeat,
)


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
        start, origin = await self._build_start(definition, recorded)
        start = mark_repeat(start, recorded, RunSource("rerun", run, by=by, reason=reason), self._now())
        earlier = await self._journal.read(find_newest_repeat, run)
        admitted = await self._engine.admit(recorded.event, [start], dedupe_keys=[key] if key else (), is_recorded=True)
        id, is_duplicate = ensure_admitted(admitted), admitted.is_duplicate
        return Repeated(id, definition.version, origin, is_duplicate, earlier=None if is_duplicate else earlier)

    async def _build_start(self, definition: Definition, recorded: RecordedRun) -> tuple[Start, InputsOrigin]:
        """The run to start, and where its inputs come from. `when` is not asked again: a person asked for the run."""
        trigger = find_trigger(self._folder, recorded)
        document = await load_arrival(self._journal, trigger, recorded)
        if trigger is not None and document is not None:
            start = trigger.make_start(document)
            if start.error:
                raise make_unfit(recorded.row.id, definition, str(start.error.message))
            return start, "mapped"
        ensure_arrival(definition, document)
        return Start(definition, recorded.row.trigger, accept_recorded(definition, recorded), document), "recorded"
