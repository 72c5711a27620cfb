"""What a schedule must do at a moment: a pure function from its progress to the next step.

A fire that became due while the service was watching starts its run, however long that takes. A fire that became due
while it was not (it was down, the machine slept, the clock jumped ahead) is *late*, and `missed` decides about it.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from durable.units import FireOutcome, ScheduleProgress
from triggers.schedules.timing import find_fires_between, find_latest_between
from triggers.schedules.trigger import ScheduleTrigger

MOST_WAITING = 1_000
"""Fires of one schedule that can be caught up or queued; others start nothing."""

MOST_COUNTED = 5_000
"""The latest late fires that are looked at; there may be millions before them."""

LOOK_AGAIN = 60_000
"""Milliseconds after which a queue checks again whether the run before has ended."""

MISSED_REASON = "the service was not running when it was due"

JUMP = 60_000
"""Milliseconds by which a clock must be set back to count as a jump; less is an ordinary correction."""


class Moment(msgspec.Struct, frozen=True):
    """The current time, and since when the service has watched without a break. Waiting fires may start from `turn` on.
    `is_busy`: the run before is unfinished."""

    now: int
    since: int
    turn: int = 0
    is_busy: bool = False


class StartFire(msgspec.Struct, frozen=True):
    """Start the run of a fire, and store the progress with it."""

    fire: int
    row: ScheduleProgress
    was_waiting: bool = False


class RecordFires(msgspec.Struct, frozen=True):
    """Store the progress: `count` fires have an `outcome` without a run. None if there is nothing to report."""

    row: ScheduleProgress
    outcome: FireOutcome | None = None
    count: int = 0


class WaitUntil(msgspec.Struct, frozen=True):
    """Do nothing before this moment, unless the run before ends. None: there are no more fires."""

    until: int | None


NextStep: TypeAlias = StartFire | RecordFires | WaitUntil


def begin_schedule(trigger: ScheduleTrigger, now: int) -> ScheduleProgress:
    """The progress of a new schedule. Fires before now are not due."""
    return ScheduleProgress(trigger.name, trigger.spec.times, handled=now)


def restart_schedule(row: ScheduleProgress, trigger: ScheduleTrigger, now: int) -> ScheduleProgress:
    """The progress of a schedule whose times were changed."""
    return replace(row, times=trigger.spec.times, handled=now)


def decide_next_step(trigger: ScheduleTrigger, row: ScheduleProgress, moment: Moment) -> NextStep:
    """The first thing to do."""
    if row.handled > moment.now + JUMP:
        return _follow_clock_back(row, moment)
    owed = _find_due_fires(trigger, row, moment)
    late = list(takewhile(lambda fire: trigger.due(fire) < moment.since, owed))
    if late:
        return _take_late(trigger, row, late)
    if owed:
        return _take_due(trigger, row, owed[0], moment)
    if row.waiting:
        return _take_waiting(trigger, row, moment)
    return WaitUntil(find_next_due(trigger, row))


def find_next_due(trigger: ScheduleTrigger, row: ScheduleProgress) -> int | None:
    """When the next fire starts its run; None if there is none."""
    fire = next(trigger.timing.find_fires(row.handled), None)
    return None if fire is None else trigger.due(fire)


def _find_due_fires(trigger: ScheduleTrigger, row: ScheduleProgress, moment: Moment) -> Sequence[int]:
    """The latest fires that are due and were not handled."""
    if next(find_fires_between(trigger.timing, row.handled, moment.now), None) is None:
        return ()
    found = find_latest_between(trigger.timing, row.handled, moment.now, MOST_COUNTED)
    return list(takewhile(lambda fire: trigger.due(fire) <= moment.now, found))


def _follow_clock_back(row: ScheduleProgress, moment: Moment) -> NextStep:
    """Follow a clock that was set back: fires that are ahead again come again, and their dedupe keys prevent a second
    run."""
    waiting = tuple(fire for fire in row.waiting if fire <= moment.now)
    return RecordFires(replace(row, handled=moment.now, waiting=waiting))


def _take_late(trigger: ScheduleTrigger, row: ScheduleProgress, late: list[int]) -> NextStep:
    keep = {"skip": 0, "latest": 1, "all": MOST_WAITING}[trigger.spec.missed]
    room = min(keep, MOST_WAITING - len(row.waiting))
    dropped, kept = late[: len(late) - room], late[len(late) - room :]
    row = replace(row, handled=late[-1], waiting=(*row.waiting, *kept))
    if not dropped:
        return RecordFires(row)
    return RecordFires(_record_missed(row, dropped), "missed", len(dropped))


def _record_missed(row: ScheduleProgress, fires: Sequence[int]) -> ScheduleProgress:
    count, last = row.missed + len(fires), fires[-1]
    return replace(row, fire=last, outcome="missed", reason=MISSED_REASON, missed=count, missed_at=last)


def _take_due(trigger: ScheduleTrigger, row: ScheduleProgress, fire: int, moment: Moment) -> NextStep:
    """Handle a fire that is due now."""
    row = replace(row, handled=fire)
    overlap = trigger.spec.overlap
    if overlap == "skip" and moment.is_busy:
        return _skip_fire(row, fire, "the previous run is unfinished")
    if overlap == "queue" and (moment.is_busy or row.waiting):
        if len(row.waiting) >= MOST_WAITING:
            return _skip_fire(row, fire, f"{MOST_WAITING} fires wait already")
        return RecordFires(replace(row, waiting=(*row.waiting, fire)))
    return _start_fire(row, fire)


def _take_waiting(trigger: ScheduleTrigger, row: ScheduleProgress, moment: Moment) -> NextStep:
    """Handle the first waiting fire, which is caught up or was queued behind a run."""
    fire, *others = row.waiting
    rest = replace(row, waiting=tuple(others))
    if moment.is_busy and trigger.spec.overlap == "skip":
        return _skip_fire(rest, fire, "the previous run is unfinished")
    if moment.is_busy and trigger.spec.overlap == "queue":
        later = moment.now + LOOK_AGAIN  # the run's end calls earlier, unless another node ended it
        return WaitUntil(min(find_next_due(trigger, row) or later, later))
    if moment.now < moment.turn:
        return WaitUntil(moment.turn)
    return replace(_start_fire(rest, fire), was_waiting=True)


def _start_fire(row: ScheduleProgress, fire: int) -> StartFire:
    return StartFire(fire, replace(row, fire=fire, outcome="started", reason=None))


def _skip_fire(row: ScheduleProgress, fire: int, reason: str) -> NextStep:
    return RecordFires(replace(row, fire=fire, outcome="skipped", reason=reason, skipped=row.skipped + 1), "skipped", 1)
