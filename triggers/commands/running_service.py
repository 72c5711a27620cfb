"""The running service, for commands that cannot do without it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from triggers.commands.failure import NOT_READY, CommandFailed
from triggers.instance import Instance
from triggers.reading.client import ServiceClient, connect_service


@asynccontextmanager
async def require_service(instance: Instance) -> AsyncIterator[ServiceClient]:
    """Connect to the service that works on the data folder; raises `CommandFailed` if there is none."""
    async with connect_service(instance) as client:
        if client is None:
            what = f"no service works on {instance.data}"
            raise CommandFailed(f"{what}: start it with `waypost serve`, or name its folder with --data", NOT_READY)
        yield client
