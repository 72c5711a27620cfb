"""Documents of schedules: when they fired last, when they fire next, and what was missed."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, islice

from durable.units import ScheduleProgress
from triggers.documents.schedules import FireDocument, PolicyDocument, ScheduleDocument
from triggers.schedules.due import JUMP, begin_schedule
from triggers.schedules.timing import format_moment
from triggers.schedules.trigger import ScheduleTrigger

SHOWN = 3
"""The coming fires that are listed."""


def describe_schedules(
    trigger: Sequence[ScheduleTrigger], rows: Mapping[str, ScheduleProgress], now: int
) -> list[ScheduleDocument]:
    """One document for each schedule, in the order of their names."""
    return [
        _describe_schedule(each, rows.get(each.name) or begin_schedule(each, now), now)
        for each in sorted(trigger, key=lambda trigger: trigger.name)
    ]


def _describe_schedule(trigger: ScheduleTrigger, row: ScheduleProgress, now: int) -> ScheduleDocument:
    spec = trigger.spec
    coming = list(islice(_find_coming_fires(trigger, row, now), SHOWN))
    return ScheduleDocument(
        id=trigger.name,
        pipeline=trigger.definition.id,
        trigger=trigger.id,
        cron=spec.cron,
        every=spec.every,
        at=spec.at,
        timezone=spec.timezone,
        policy=PolicyDocument(spec.missed, spec.overlap, spec.window),
        last=_describe_last_fire(row),
        next=[format_moment(fire) for fire in coming],
        due=format_moment(trigger.due(coming[0])) if coming else None,
        overdue=_find_overdue(trigger, row, now),
        waiting=len(row.waiting),
        skipped=row.skipped,
        missed=row.missed,
        missed_at=format_moment(row.missed_at) if row.missed_at is not None else None,
    )


def _find_coming_fires(trigger: ScheduleTrigger, row: ScheduleProgress, now: int) -> Iterator[int]:
    fires = trigger.timing.find_fires(max(row.handled, now - trigger.window))
    return dropwhile(lambda fire: trigger.due(fire) <= now, fires)


def _describe_last_fire(row: ScheduleProgress) -> FireDocument | None:
    if row.fire is None:
        return None
    return FireDocument(format_moment(row.fire), row.outcome, row.reason, row.run)


def _find_overdue(trigger: ScheduleTrigger, row: ScheduleProgress, now: int) -> str | None:
    """The first fire that is due and was not handled."""
    fire = next(trigger.timing.find_fires(row.handled), None)
    return format_moment(fire) if fire is not None and trigger.due(fire) + JUMP < now else None
