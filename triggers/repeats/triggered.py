"""Starts a run as a trigger of its pipeline would: with an event of the journal, or with a `trigger` document."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from durable.clock import new_id
from durable.engine import Engine
from durable.journal.journal import Journal
from durable.units import Event
from durable.values import JSON, Value
from durable.wording import quote, suggest
from triggers.config.folder import Folder
from triggers.repeats.documents import load_document
from triggers.repeats.recorded import find_served
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.repeated import ensure_admitted
from triggers.trigger import EventFiltered, Trigger, build_trigger_document

SHOWN = 5
"""How many unknown keys of a document a message names."""


class TriggeredStarts:
    """Starts runs with the triggers of the pipelines that are served."""

    def __init__(self, engine: Engine, journal: Journal, folder: Folder, now: Callable[[], int]) -> None:
        self._engine = engine
        self._journal = journal
        self._folder = folder
        self._now = now

    async def start_with_event(self, pipeline: str, event: str, trigger: str | None, by: str) -> str:
        """Start a run with an event of the journal, and return its id; raises `RepeatRefused`, `Overloaded` and a
        `JournalError`."""
        found = await self._journal.find_event(event)
        if found is None:
            raise RepeatRefused(
                f"there is no event {event} in the journal; `waypost show RUN` prints the event of a run"
            )
        await self._journal.scan(lambda scan: scan.load_value(found.data))
        chosen = self._choose(pipeline, trigger, found)
        document = await load_document(self._journal, chosen, found)
        if document is None:
            raise RepeatRefused(f"the trigger {chosen.name} cannot process the event {event}: its request was not kept")
        return await self._admit(chosen, document, found, by, is_recorded=True)

    async def start_with_document(
        self, pipeline: str, document: Mapping[str, JSON], trigger: str | None, by: str
    ) -> str:
        """Start a run with a `trigger` document, whose missing parts are those of an event that happens now, and
        return its id; raises `RepeatRefused`, `Overloaded` and a `JournalError`."""
        chosen, at = self._choose(pipeline, trigger, None), self._now()
        parts: dict[str, JSON] = {"path": {}, "query": {}, "headers": {}, "body": None}
        whole: dict[str, JSON] = {**build_trigger_document(new_id("key", at), chosen.name, at), **parts}
        _ensure_parts(document, whole)
        whole |= document
        data = Value.of(whole["body"])
        event = Event(new_id("evt", at), f"api/{pipeline}", str(whole["id"]), None, at, data=data)
        return await self._admit(chosen, whole, event, by, is_recorded=False)

    def _choose(self, pipeline: str, id: str | None, event: Event | None) -> Trigger:
        """The trigger that is named, or the only one that can take the event; raises `RepeatRefused`."""
        find_served(self._folder, pipeline)
        triggers = {each.id: each for each in self._folder.triggers if each.definition.id == pipeline}
        if id is not None:
            if id not in triggers:
                hint = suggest(id, triggers) or f"it has {', '.join(triggers) or 'none'}"
                raise RepeatRefused(f"the pipeline {pipeline} has no trigger {quote(id)}; {hint}", is_unfit=True)
            return triggers[id]
        fitting = [each for each in triggers.values() if event is not None and each.takes(event)]
        candidates = fitting or list(triggers.values())
        if not candidates:
            raise RepeatRefused(f"the pipeline {pipeline} has no trigger; start it with inputs", is_unfit=True)
        if len(candidates) > 1:
            what = f"one of {', '.join(each.id for each in candidates)}"
            raise RepeatRefused(f"name the trigger of {pipeline} with `trigger`: {what}", is_unfit=True)
        return candidates[0]

    async def _admit(self, trigger: Trigger, document: JSON, event: Event, by: str, *, is_recorded: bool) -> str:
        try:
            trigger.check_when(document)
        except EventFiltered as filtered:
            raise RepeatRefused(f"the trigger {trigger.name} starts no run: {filtered}") from None
        start = replace(trigger.make_start(document), by=by)
        if start.error:
            raise RepeatRefused(f"the inputs cannot be computed: {start.error.message}", is_unfit=True)
        start = replace(start, at=self._now())
        return ensure_admitted(await self._engine.admit(event, [start], is_recorded=is_recorded))


def _ensure_parts(document: Mapping[str, JSON], parts: Collection[str]) -> None:
    """Raise `RepeatRefused` for keys that no trigger gives, as those of a body that was given instead."""
    if unknown := [quote(name) for name in document if name not in parts]:
        what = f"`trigger` has no {', '.join(unknown[:SHOWN])}, only {', '.join(parts)}"
        raise RepeatRefused(f"{what}; what was sent belongs below `body`", is_unfit=True)
