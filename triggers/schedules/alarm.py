"""APScheduler as the clock of the schedules: it wakes them when the next one is due.

Its timers measure elapsed time, not the wall clock. So the clock is also checked every half minute, which detects that
it was set forward or back.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]
from apscheduler.triggers.base import BaseTrigger  # type: ignore[import-untyped]

from triggers.schedules.schedules import Schedules

CLOCK_CHECK_SECONDS = 30.0

NOTHING_DUE = timedelta(days=1)
"""How far ahead the timer is set if nothing is due. A new schedule sets it again."""


class NextFire(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires when the first of the schedules is due."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """When to wake next. What is already due was handled at `previous`."""
        earliest = self._schedules.earliest
        if earliest is None:
            return now + NOTHING_DUE
        due = datetime.fromtimestamp(earliest / 1_000, UTC)
        return due if previous is None or due > now else now + NOTHING_DUE


class Alarm:
    """Wakes the schedules from `start` to `stop`."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules
        self._job: Any = None
        self._clock_check: asyncio.TimerHandle | None = None

    def start(self, scheduler: AsyncIOScheduler) -> None:
        """Use this scheduler, which is running or will be started."""
        self._job = scheduler.add_job(
            self._ring, NextFire(self._schedules), max_instances=1_000, coalesce=True, misfire_grace_time=None
        )
        self._schedules.when_changed = self._reschedule
        self._check_clock()

    def stop(self) -> None:
        """Stop waking them."""
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
    """Called while no alarm is started."""
