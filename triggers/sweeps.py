"""What a service does again and again: it looks for runs that nobody advances, and removes what is old."""

import asyncio
import contextlib

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]

from durable.runner.recovery import Recovery
from durable.runner.retention import Retention

SWEEP_SECONDS = 1
RETENTION_SECONDS = 60


def start_sweeping(recovery: Recovery, retention: Retention) -> AsyncIOScheduler:
    """Start the scheduler of a service."""

    async def sweep() -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the service stops; the scheduler would log a failed job
            await recovery.sweep()

    async def remove_old() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await retention.try_pass()

    scheduler = AsyncIOScheduler(timezone="UTC")
    once = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler.add_job(sweep, "interval", seconds=SWEEP_SECONDS, **once)
    scheduler.add_job(remove_old, "interval", seconds=RETENTION_SECONDS, **once)
    scheduler.start()
    return scheduler
