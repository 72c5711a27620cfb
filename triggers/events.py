"""The event trigger: what `flow.emit` sends, and what comes over `POST /api/events`, starts runs of other pipelines."""

import logging
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field

from durable.action import TriggerInputs
from durable.definition.definition import Definition
from durable.expressions import Expression, Template
from durable.language.pipeline import TriggerSpec
from durable.runner.start import Start
from durable.units import Event
from durable.values import JSON
from triggers.filtering import EventFiltered, check_when, make_start

log = logging.getLogger("waypost.events")


class EventSpec(TriggerInputs):
    """What an event trigger is given."""

    arrival: ClassVar[frozenset[str]] = TriggerInputs.arrival | {"body"}

    type: str = Field(description="The event's type", min_length=1)
    source: str | None = Field(None, description="Where the event must come from; default: anywhere")


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """An event trigger, compiled."""

    definition: Definition
    trigger: str
    given: EventSpec
    when: Expression | None
    inputs: Template | None

    @classmethod
    def of(cls, definition: Definition, spec: TriggerSpec) -> Self:
        """Compile a trigger that was checked by the model."""
        return cls(
            definition=definition,
            trigger=spec.id,
            given=EventSpec.model_validate(spec.with_ or {}),
            when=Expression.parse(spec.when) if spec.when is not None else None,
            inputs=Template.parse(spec.inputs) if spec.inputs is not None else None,
        )

    def start(self, event: Event) -> Start | None:
        """The run that the event starts, if it is meant."""
        if event.type != self.given.type or self.given.source not in (None, event.source):
            return None
        arrival = _arrival(event)
        try:
            check_when(self.when, arrival)
        except EventFiltered as filtered:
            log.info("%s/%s: %s", self.definition.spec.id, self.trigger, filtered)
            return None
        return make_start(self.definition, self.trigger, self.inputs, arrival)


def _arrival(event: Event) -> dict[str, JSON]:
    """What expressions read as `trigger`."""
    return {
        "id": event.key,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "path": {},
        "query": {},
        "headers": {},
        "body": event.data.load(),
    }
