"""Schedules as people and programs read them: when they fired, when they will, and what did not come."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, islice

from durable.journal import ScheduleProgress
from durable.values import JSON
from triggers.schedules.due import JUMP, begin
from triggers.schedules.schedule import Planned
from triggers.schedules.timing import iso

SHOWN = 3
"""Fires to come that are told."""


def told(planned: Sequence[Planned], rows: Mapping[str, ScheduleProgress], now: int) -> list[dict[str, JSON]]:
    """Each schedule as one document, in the order of their names."""
    return [
        _told(each, rows.get(each.name) or begin(each, now), now)
        for each in sorted(planned, key=lambda planned: planned.name)
    ]


def _told(planned: Planned, row: ScheduleProgress, now: int) -> dict[str, JSON]:
    given = planned.given
    coming = list(islice(_coming(planned, row, now), SHOWN))
    return {
        "id": planned.name,
        "pipeline": planned.definition.spec.id,
        "trigger": planned.trigger,
        "cron": given.cron,
        "every": given.every,
        "at": given.at,
        "timezone": given.timezone,
        "policy": {"missed": given.missed, "overlap": given.overlap, "window": given.window},
        "last": _last(row),
        "next": [iso(fire) for fire in coming],
        "due": iso(planned.due(coming[0])) if coming else None,
        "overdue": _overdue(planned, row, now),
        "waiting": len(row.waiting),
        "skipped": row.skipped,
        "missed": row.missed,
        "missed_at": iso(row.missed_at) if row.missed_at is not None else None,
    }


def _coming(planned: Planned, row: ScheduleProgress, now: int) -> Iterator[int]:
    fires = planned.timing.fires(max(row.handled, now - planned.window))
    return dropwhile(lambda fire: planned.due(fire) <= now, fires)


def _last(row: ScheduleProgress) -> JSON:
    if row.fire is None:
        return None
    return {"fire": iso(row.fire), "outcome": row.outcome, "reason": row.reason, "run": row.run}


def _overdue(planned: Planned, row: ScheduleProgress, now: int) -> str | None:
    """The first fire that should have come by now and has not been dealt with."""
    fire = next(planned.timing.fires(row.handled), None)
    return iso(fire) if fire is not None and planned.due(fire) + JUMP < now else None
