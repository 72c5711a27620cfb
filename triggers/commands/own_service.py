"""A service for the time of one run, where none is at work."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from triggers import logs
from triggers.commands.failure import NOT_READY, CommandFailed
from triggers.http.server import listen
from triggers.instance import Instance
from triggers.reading.client import ServiceClient, connect_service
from triggers.reading.config_folder import ensure_pipelines
from triggers.service import compose, run_service
from triggers.settings import Settings


@asynccontextmanager
async def open_own_service(instance: Instance) -> AsyncIterator[ServiceClient]:
    """A service on a free port of this machine; it drains in the end. Runs that began elsewhere are left alone: they
    belong to a service with its own environment."""
    ensure_pipelines(instance.config)
    quiet = {} if instance.environment.get("WAYPOST_LOG_LEVEL") else {"log_level": "error"}
    settings = Settings.load(instance.config, instance.environment, {"host": "127.0.0.1", "port": 0, **quiet})
    listener = listen("127.0.0.1", 0)
    with contextlib.closing(listener):
        address = listener.getsockname()[:2]
        try:
            async with (
                compose(settings, instance, address=address, takes_over=False) as composed,
                run_service(composed, listener, fires_schedules=False),
                connect_service(instance) as running,
            ):
                if running is None:
                    raise CommandFailed("the service that was started for this run does not answer", NOT_READY)
                yield running
        finally:
            logs.flush()
