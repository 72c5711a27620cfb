"""APScheduler as the clock of the schedules: it wakes the process for what is due next, and for nothing else.

Its timers measure the time that passes, not the clock on the wall. So there is a look every half minute besides,
which finds a clock that was put forward or back.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]
from apscheduler.triggers.base import BaseTrigger  # type: ignore[import-untyped]

from triggers.schedules.schedules import Schedules

CLOCK_CHECK_SECONDS = 30.0

NOTHING_DUE = timedelta(days=1)
"""How far ahead the timer is set where there is nothing to come; whatever comes sets it anew."""


class NextFire(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires when the first of the schedules wants attention."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """What is due already was asked for by `previous`, and is being attended to."""
        earliest = self._schedules.earliest
        if earliest is None:
            return now + NOTHING_DUE
        due = datetime.fromtimestamp(earliest / 1_000, UTC)
        return due if previous is None or due > now else now + NOTHING_DUE


class Alarm:
    """Wakes the schedules, from `start` to `stop`."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules
        self._job: Any = None
        self._clock_check: asyncio.TimerHandle | None = None

    def start(self, scheduler: AsyncIOScheduler) -> None:
        """Use this scheduler, which is at work already or will be."""
        self._job = scheduler.add_job(
            self._ring, NextFire(self._schedules), max_instances=1_000, coalesce=True, misfire_grace_time=None
        )
        self._schedules.when_changed = self._reschedule
        self._check_clock()

    def stop(self) -> None:
        """Wake nobody any more."""
        self._schedules.when_changed = _do_nothing
        if self._clock_check:
            self._clock_check.cancel()

    def _reschedule(self) -> None:
        self._job.reschedule(NextFire(self._schedules))

    def _check_clock(self) -> None:
        self._schedules.wake()
        self._reschedule()
        self._clock_check = asyncio.get_running_loop().call_later(CLOCK_CHECK_SECONDS, self._check_clock)

    async def _ring(self) -> None:
        self._schedules.wake()


def _do_nothing() -> None:
    """Nobody keeps the time any more."""
