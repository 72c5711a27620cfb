"""The triggers `waypost.*`: their models in pipeline files, and their compiled form.

An alert is about a *group* (an error, a schedule, a connection, what is silent), so that one outage is one alert. The
first alert of a group comes at once, and while it lasts another one each `every`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from durable.action import ErrorClass
from durable.definition import Definition
from durable.durations import Duration, parse_duration
from durable.language.pipeline import TriggerSpec
from durable.trigger_inputs import TriggerInputs
from durable.units import Event
from durable.values import JSON
from triggers.trigger import Kind, Trigger, build_trigger_document, parse_expressions

AlertKind: TypeAlias = Literal[
    "waypost.run_failed", "waypost.schedule_missed", "waypost.connection_broken", "waypost.silence"
]


class AlertSpec(TriggerInputs):
    """What the settings of all alerts have."""

    arrival: ClassVar[frozenset[str]] = TriggerInputs.arrival | {"body"}

    every: Duration = Field("1h", description="At most one alert about the same cause in this time")
    resolved: bool = Field(False, description="Whether to start a run also when the cause has gone")

    @model_validator(mode="after")
    def _is_not_hectic(self) -> Self:
        if parse_duration(self.every) < parse_duration("1m"):
            raise ValueError("'every' is too short; write at least 1m")
        return self


class RunFailedSpec(AlertSpec):
    """The settings of `waypost.run_failed`."""

    pipelines: list[str] | None = Field(None, description="Only failures of these pipelines", min_length=1)
    classes: list[ErrorClass] | None = Field(None, description="Only errors of these classes", min_length=1)


class ScheduleMissedSpec(AlertSpec):
    """The settings of `waypost.schedule_missed`."""

    schedules: list[str] | None = Field(
        None, description="Only these schedules, as PIPELINE/TRIGGER; default: all", min_length=1
    )


class ConnectionBrokenSpec(AlertSpec):
    """The settings of `waypost.connection_broken`."""

    connections: list[str] | None = Field(None, description="Only these connections; default: all", min_length=1)


class SilenceSpec(AlertSpec):
    """The settings of `waypost.silence`: one of `webhook`, `event` and `pipeline`, and how long."""

    webhook: str | None = Field(None, description="No request was accepted by this webhook, as PIPELINE/TRIGGER")
    event: str | None = Field(None, description="No event of this type was received")
    pipeline: str | None = Field(None, description="No run of this pipeline has started")
    for_: Duration = Field(alias="for", description="For how long")

    @model_validator(mode="after")
    def _is_about_one_thing(self) -> Self:
        given = [name for name in ("webhook", "event", "pipeline") if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"not {' and '.join(map(repr, given))}" if given else "and none is given"
            raise ValueError(f"silence is about one of 'webhook', 'event' and 'pipeline', {what}")
        if parse_duration(self.for_) < parse_duration("1m"):
            raise ValueError("'for' is too short; write at least 1m")
        return self


@dataclass(frozen=True)
class AlertTrigger(Trigger):
    """An alert, compiled; `every` in ms."""

    kind: AlertKind
    spec: AlertSpec
    every: int

    def rebuild_document(self, event: Event) -> JSON:
        return build_trigger_document(
            event.key, event.source, event.time, type=event.type, subject=event.subject, body=event.data.load()
        )


def _make_kind(name: AlertKind, model: type[AlertSpec], summary: str) -> Kind[AlertTrigger]:
    def compile(definition: Definition, spec: TriggerSpec) -> AlertTrigger:
        given = model.model_validate(spec.with_ or {})
        return AlertTrigger(definition, spec.id, *parse_expressions(spec), name, given, parse_duration(given.every))

    return Kind(name, model, compile, lambda trigger: summary, "alerts")


ALERTS = (
    _make_kind("waypost.run_failed", RunFailedSpec, "failures of runs"),
    _make_kind("waypost.schedule_missed", ScheduleMissedSpec, "fires that were missed"),
    _make_kind("waypost.connection_broken", ConnectionBrokenSpec, "connections that cannot be used"),
    _make_kind("waypost.silence", SilenceSpec, "what has not come for too long"),
)
"""The kinds of alerts."""
