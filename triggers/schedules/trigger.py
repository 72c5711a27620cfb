"""The schedule trigger: its model in pipeline files, and its compiled form."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Self

from pydantic import Field, field_validator, model_validator

from durable.definition import Definition
from durable.durations import Duration, parse_duration
from durable.language.pipeline import TriggerSpec
from durable.trigger_inputs import TriggerInputs
from durable.units import Event
from durable.values import JSON
from triggers.documents.schedules import MissedPolicy, OverlapPolicy
from triggers.schedules.cron import Cron
from triggers.schedules.timing import (
    Interval,
    SingleMoment,
    Timing,
    find_fires_between,
    find_zone,
    format_moment,
    parse_fire,
)
from triggers.trigger import Kind, Trigger, build_trigger_document, parse_expressions

TYPE = "schedule"
"""The type of its events."""

SAMPLE = 1_000
"""The consecutive fires whose distances a window is compared with."""

YEAR = parse_duration("366d")
"""The milliseconds in which they are searched."""

_SAMPLE_FROM = round(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000


class ScheduleSpec(TriggerInputs):
    """The settings of a schedule trigger: one of `cron`, `every` and `at`, and options."""

    cron: str | None = Field(
        None, description="A cron expression of five or six fields, or @hourly, @daily, @weekly, @monthly or @yearly"
    )
    every: Duration | None = Field(None, description="An interval of whole seconds, counted from 1970-01-01T00:00Z")
    at: str | None = Field(
        None, description="A single date and time", json_schema_extra={"examples": ["2026-12-24T18:00:00"]}
    )
    timezone: str = Field("UTC", description="The IANA time zone of `cron` and `at`, such as Europe/Berlin")
    window: Duration | None = Field(
        None,
        description="Delay each fire by up to this long, so that schedules do not all start together; a fire always "
        "gets the same delay",
    )
    missed: MissedPolicy = Field(
        "latest",
        description="What to start for fires that were missed while the service was down: no run, one for the latest, "
        "or one for each",
    )
    overlap: OverlapPolicy = Field(
        "allow",
        description="What to do if the previous run has not finished: start a run anyway, skip the fire, or queue the "
        "run",
    )

    @field_validator("cron", "every", "at", mode="before")
    @classmethod
    def _is_not_empty(cls, value: object) -> object:
        if value is None:
            raise ValueError("it is empty; give it a value, or remove it")
        return value

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, text: str) -> str:
        Cron.parse(text)
        return text

    @field_validator("every")
    @classmethod
    def _is_interval(cls, text: str) -> str:
        Interval.parse(text)
        return text

    @field_validator("at")
    @classmethod
    def _is_moment(cls, text: str) -> str:
        SingleMoment.parse(text)
        return text

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        find_zone(name)
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = [name for name in ("cron", "every", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"a schedule has one of 'cron', 'every' and 'at', not {' and '.join(map(repr, given))}"
            raise ValueError(f"{what}; write a trigger for each" if given else "a schedule needs a time; add 'cron: …'")
        if self.every and "timezone" in self.model_fields_set:
            raise ValueError("'timezone' has no effect on 'every'; remove it")
        self._check_window(self.timing)
        return self

    def _check_window(self, timing: Timing) -> None:
        if self.window is None:
            return
        if not (window := parse_duration(self.window)):
            raise ValueError("'window' is too short; write at least 1s, or remove it")
        fires = islice(find_fires_between(timing, _SAMPLE_FROM, _SAMPLE_FROM + YEAR), SAMPLE)
        closest = min((later - earlier for earlier, later in pairwise(fires)), default=YEAR) // 1_000
        if window > closest * 1_000:
            raise ValueError(
                f"the window of {self.window} is longer than the {closest}s between two fires; write at most {closest}s"
            )

    @property
    def timing(self) -> Timing:
        """When it fires."""
        zone = find_zone(self.timezone)
        if self.cron is not None:
            return Cron.parse(self.cron, zone)
        return Interval.parse(self.every) if self.every is not None else SingleMoment.parse(self.at or "", zone)

    @property
    def times(self) -> str:
        """What its fires depend on, as text. If the text changes, the schedule begins anew."""
        if self.every is not None:
            return f"every {self.every}"
        return f"cron {self.cron} in {self.timezone}" if self.cron is not None else f"at {self.at} in {self.timezone}"


@dataclass(frozen=True)
class ScheduleTrigger(Trigger):
    """A schedule trigger, compiled; `window` in milliseconds."""

    spec: ScheduleSpec
    timing: Timing
    window: int

    @classmethod
    def compile(cls, definition: Definition, spec: TriggerSpec) -> Self:
        """Compile a trigger that the loader has checked."""
        given = ScheduleSpec.model_validate(spec.with_ or {})
        window = parse_duration(given.window) if given.window else 0
        return cls(definition, spec.id, *parse_expressions(spec), given, given.timing, window)

    def build_document(self, fire: int) -> JSON:
        """The `trigger` document of a fire (ms)."""
        return build_trigger_document(format_moment(fire), self.name, fire, type=TYPE)

    def rebuild_document(self, event: Event) -> JSON:
        try:
            return self.build_document(parse_fire(event.key))
        except ValueError:
            return None

    def due(self, fire: int) -> int:
        """When a fire starts its run (ms): at its time, or at its own place in the window after it.

        The place is a hash of the schedule's name and the fire, so a restart does not move it.
        """
        if not self.window:
            return fire
        digest = hashlib.sha256(f"{self.name}\0{fire}".encode()).digest()
        return fire + int.from_bytes(digest[:8]) % self.window


SCHEDULE = Kind("schedule", ScheduleSpec, ScheduleTrigger.compile, lambda trigger: trigger.spec.times, "schedules")
