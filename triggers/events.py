"""The event trigger: events of `flow.emit` and `POST /api/events` start the pipelines that name their type."""

import logging
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field

from durable.definition import Definition
from durable.engine import Start
from durable.language.pipeline import TriggerSpec
from durable.trigger_inputs import TriggerInputs
from durable.units import Event
from durable.values import JSON
from triggers.trigger import EventFiltered, Kind, Trigger, build_trigger_document, parse_expressions

log = logging.getLogger("waypost.events")


class EventSpec(TriggerInputs):
    """The settings of an event trigger."""

    arrival: ClassVar[frozenset[str]] = TriggerInputs.arrival | {"body"}

    type: str = Field(description="The type of the event", min_length=1)
    source: str | None = Field(None, description="The source of the event; default: any source")


@dataclass(frozen=True)
class EventTrigger(Trigger):
    """An event trigger, compiled."""

    spec: EventSpec

    @classmethod
    def compile(cls, definition: Definition, spec: TriggerSpec) -> Self:
        """Compile a trigger that the loader has checked."""
        return cls(definition, spec.id, *parse_expressions(spec), EventSpec.model_validate(spec.with_ or {}))

    def start_for(self, event: Event) -> Start | None:
        if not self.takes(event):
            return None
        document = self.rebuild_document(event)
        try:
            self.check_when(document)
        except EventFiltered as filtered:
            log.info("%s: %s", self.name, filtered)
            return None
        return self.make_start(document)

    def takes(self, event: Event) -> bool:
        return event.type == self.spec.type and self.spec.source in (None, event.source)

    def rebuild_document(self, event: Event) -> JSON:
        return build_trigger_document(
            event.key,
            event.source,
            event.time,
            type=event.type,
            subject=event.subject,
            path={},
            query={},
            headers={},
            body=event.data.load(),
        )


EVENT = Kind("event", EventSpec, EventTrigger.compile, lambda trigger: trigger.spec.type, "events")
