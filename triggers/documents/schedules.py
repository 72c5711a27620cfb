"""Schedules and their fires."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Struct

from durable.units import FireOutcome
from triggers.documents.fields import Time, note

MissedPolicy: TypeAlias = Literal["skip", "latest", "all"]

OverlapPolicy: TypeAlias = Literal["allow", "skip", "queue"]


class PolicyDocument(Struct, frozen=True):
    """What becomes of fires that were missed, that meet a run, and over which time they are spread."""

    missed: MissedPolicy
    overlap: OverlapPolicy
    window: str | None


class FireDocument(Struct, frozen=True):
    """A fire that was dealt with."""

    fire: Time
    outcome: FireOutcome | None
    reason: str | None
    run: Annotated[str | None, note("The run that was started last")]


class ScheduleDocument(Struct, frozen=True):
    """A schedule that is served."""

    id: str
    pipeline: str
    trigger: str
    cron: str | None
    every: str | None
    at: str | None
    timezone: str
    policy: PolicyDocument
    last: FireDocument | None
    next: Annotated[list[Time], note("The next fires")]
    due: Annotated[Time | None, note("When the next one starts its run, by its place in the window")]
    overdue: Annotated[Time | None, note("The first fire that should have come by now and did not")]
    waiting: Annotated[int, note("Fires that wait for the run before them")]
    skipped: int
    missed: int
    missed_at: Time | None


class ScheduleListDocument(Struct, frozen=True):
    """Every schedule that is served, by name."""

    schedules: list[ScheduleDocument]
