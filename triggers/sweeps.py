"""What a service does again and again: it looks for runs that nobody advances, raises alerts, and removes what is
old."""

import asyncio
import contextlib

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]

from durable.runner.recovery import Recovery
from durable.runner.retention import Retention
from triggers.alerts.alerts import Alerts

SWEEP_SECONDS = 1
RETENTION_SECONDS = 60
ALERT_SECONDS = 5


def start_sweeping(recovery: Recovery, retention: Retention, alerts: Alerts) -> AsyncIOScheduler:
    """Start the scheduler of a service."""

    async def sweep() -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the service stops; the scheduler would log a failed job
            await recovery.sweep()

    async def remove_old() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await retention.try_pass()

    async def raise_alerts() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await alerts.check()

    scheduler = AsyncIOScheduler(timezone="UTC")
    once = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler.add_job(sweep, "interval", seconds=SWEEP_SECONDS, **once)
    scheduler.add_job(remove_old, "interval", seconds=RETENTION_SECONDS, **once)
    scheduler.add_job(raise_alerts, "interval", seconds=ALERT_SECONDS, **once)
    scheduler.start()
    return scheduler
