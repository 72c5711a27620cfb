"""Schedules as people and programs read them: when they fired, when they will, and what did not come."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, islice

from durable.units import ScheduleProgress
from triggers.documents import FireDocument, PolicyDocument, ScheduleDocument
from triggers.schedules.due import JUMP, begin_schedule
from triggers.schedules.timing import format_moment
from triggers.schedules.trigger import ScheduleTrigger

SHOWN = 3
"""Fires to come that are told."""


def describe_schedules(
    planned: Sequence[ScheduleTrigger], rows: Mapping[str, ScheduleProgress], now: int
) -> list[ScheduleDocument]:
    """Each schedule as one document, in the order of their names."""
    return [
        _describe_schedule(each, rows.get(each.name) or begin_schedule(each, now), now)
        for each in sorted(planned, key=lambda planned: planned.name)
    ]


def _describe_schedule(planned: ScheduleTrigger, row: ScheduleProgress, now: int) -> ScheduleDocument:
    spec = planned.spec
    coming = list(islice(_find_coming_fires(planned, row, now), SHOWN))
    return ScheduleDocument(
        id=planned.name,
        pipeline=planned.definition.id,
        trigger=planned.id,
        cron=spec.cron,
        every=spec.every,
        at=spec.at,
        timezone=spec.timezone,
        policy=PolicyDocument(spec.missed, spec.overlap, spec.window),
        last=_describe_last_fire(row),
        next=[format_moment(fire) for fire in coming],
        due=format_moment(planned.due(coming[0])) if coming else None,
        overdue=_find_overdue(planned, row, now),
        waiting=len(row.waiting),
        skipped=row.skipped,
        missed=row.missed,
        missed_at=format_moment(row.missed_at) if row.missed_at is not None else None,
    )


def _find_coming_fires(planned: ScheduleTrigger, row: ScheduleProgress, now: int) -> Iterator[int]:
    fires = planned.timing.find_fires(max(row.handled, now - planned.window))
    return dropwhile(lambda fire: planned.due(fire) <= now, fires)


def _describe_last_fire(row: ScheduleProgress) -> FireDocument | None:
    if row.fire is None:
        return None
    return FireDocument(format_moment(row.fire), row.outcome, row.reason, row.run)


def _find_overdue(planned: ScheduleTrigger, row: ScheduleProgress, now: int) -> str | None:
    """The first fire that should have come by now and has not been dealt with."""
    fire = next(planned.timing.find_fires(row.handled), None)
    return format_moment(fire) if fire is not None and planned.due(fire) + JUMP < now else None
