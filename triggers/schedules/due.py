"""What a schedule owes at a moment: the policy, from values to the next step.

A fire that was due while somebody watched starts its run, however long that takes. One that was due while nobody did
(the service was down, the machine slept, the clock jumped ahead) is *late*, and `missed` says what becomes of it.
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
"""Fires of one schedule that are caught up or queued; those before them, or after them, start nothing."""

MOST_COUNTED = 5_000
"""Late fires that are looked at, the latest of them; before those there may be millions."""

LOOK_AGAIN = 60_000
"""Milliseconds after which a queue looks again whether the run before has ended."""

MISSED_REASON = "nobody was there when it was due"

JUMP = 60_000
"""Milliseconds by which a clock that was put back is seen to have jumped; less is a correction of no consequence."""


class Moment(msgspec.Struct, frozen=True):
    """Now, and since when somebody has watched without a break; from `turn` on a waiting fire may start. `is_busy`: the
    run before is unfinished."""

    now: int
    since: int
    turn: int = 0
    is_busy: bool = False


class StartFire(msgspec.Struct, frozen=True):
    """Start the run of a fire, and keep the row with it."""

    fire: int
    row: ScheduleProgress
    was_waiting: bool = False


class RecordFires(msgspec.Struct, frozen=True):
    """Keep the row: `count` fires have an `outcome` without a run. None where nothing is to be told of."""

    row: ScheduleProgress
    outcome: FireOutcome | None = None
    count: int = 0


class WaitUntil(msgspec.Struct, frozen=True):
    """Nothing is to be done before this moment, unless the run before ends; None: there is nothing more to come."""

    until: int | None


NextStep: TypeAlias = StartFire | RecordFires | WaitUntil


def begin_schedule(planned: ScheduleTrigger, now: int) -> ScheduleProgress:
    """The row of a schedule that is seen for the first time: what would have fired before is not owed."""
    return ScheduleProgress(planned.name, planned.spec.times, handled=now)


def restart_schedule(row: ScheduleProgress, planned: ScheduleTrigger, now: int) -> ScheduleProgress:
    """The row of a schedule that fires at other times from now on."""
    return replace(row, times=planned.spec.times, handled=now)


def decide_next_step(planned: ScheduleTrigger, row: ScheduleProgress, moment: Moment) -> NextStep:
    """What is to be done first."""
    if row.handled > moment.now + JUMP:
        return _follow_clock_back(row, moment)
    owed = _find_due_fires(planned, row, moment)
    late = list(takewhile(lambda fire: planned.due(fire) < moment.since, owed))
    if late:
        return _take_late(planned, row, late)
    if owed:
        return _take_due(planned, row, owed[0], moment)
    if row.waiting:
        return _take_waiting(planned, row, moment)
    return WaitUntil(find_next_due(planned, row))


def find_next_due(planned: ScheduleTrigger, row: ScheduleProgress) -> int | None:
    """When the next fire starts its run; None if there is none."""
    fire = next(planned.timing.find_fires(row.handled), None)
    return None if fire is None else planned.due(fire)


def _find_due_fires(planned: ScheduleTrigger, row: ScheduleProgress, moment: Moment) -> Sequence[int]:
    """The fires that are due and not dealt with, the latest of them."""
    if next(find_fires_between(planned.timing, row.handled, moment.now), None) is None:
        return ()
    found = find_latest_between(planned.timing, row.handled, moment.now, MOST_COUNTED)
    return list(takewhile(lambda fire: planned.due(fire) <= moment.now, found))


def _follow_clock_back(row: ScheduleProgress, moment: Moment) -> NextStep:
    """The clock was put back: what is ahead again comes again, and where it had its run its claim says so."""
    waiting = tuple(fire for fire in row.waiting if fire <= moment.now)
    return RecordFires(replace(row, handled=moment.now, waiting=waiting))


def _take_late(planned: ScheduleTrigger, row: ScheduleProgress, late: list[int]) -> NextStep:
    keep = {"skip": 0, "latest": 1, "all": MOST_WAITING}[planned.spec.missed]
    room = min(keep, MOST_WAITING - len(row.waiting))
    dropped, kept = late[: len(late) - room], late[len(late) - room :]
    row = replace(row, handled=late[-1], waiting=(*row.waiting, *kept))
    if not dropped:
        return RecordFires(row)
    return RecordFires(_record_missed(row, dropped), "missed", len(dropped))


def _record_missed(row: ScheduleProgress, fires: Sequence[int]) -> ScheduleProgress:
    count, last = row.missed + len(fires), fires[-1]
    return replace(row, fire=last, outcome="missed", reason=MISSED_REASON, missed=count, missed_at=last)


def _take_due(planned: ScheduleTrigger, row: ScheduleProgress, fire: int, moment: Moment) -> NextStep:
    """What becomes of a fire that is due now."""
    row = replace(row, handled=fire)
    overlap = planned.spec.overlap
    if overlap == "skip" and moment.is_busy:
        return _skip_fire(row, fire, "the run before is unfinished")
    if overlap == "queue" and (moment.is_busy or row.waiting):
        if len(row.waiting) >= MOST_WAITING:
            return _skip_fire(row, fire, f"{MOST_WAITING} fires wait already")
        return RecordFires(replace(row, waiting=(*row.waiting, fire)))
    return _start_fire(row, fire)


def _take_waiting(planned: ScheduleTrigger, row: ScheduleProgress, moment: Moment) -> NextStep:
    """What becomes of the first that waits: caught up, or queued behind a run."""
    fire, *others = row.waiting
    rest = replace(row, waiting=tuple(others))
    if moment.is_busy and planned.spec.overlap == "skip":
        return _skip_fire(rest, fire, "the run before is unfinished")
    if moment.is_busy and planned.spec.overlap == "queue":
        later = moment.now + LOOK_AGAIN  # the run's end calls earlier, unless another node ended it
        return WaitUntil(min(find_next_due(planned, row) or later, later))
    if moment.now < moment.turn:
        return WaitUntil(moment.turn)
    return replace(_start_fire(rest, fire), was_waiting=True)


def _start_fire(row: ScheduleProgress, fire: int) -> StartFire:
    return StartFire(fire, replace(row, fire=fire, outcome="started", reason=None))


def _skip_fire(row: ScheduleProgress, fire: int, reason: str) -> NextStep:
    return RecordFires(replace(row, fire=fire, outcome="skipped", reason=reason, skipped=row.skipped + 1), "skipped", 1)
