"""`waypost cancel`: ask a run to end."""

import asyncio
import os
from typing import Annotated

import typer

from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, RunId
from triggers.commands.running_service import require_service
from triggers.documents import CancelledDocument
from triggers.instance import Instance


def cancel(
    run: RunId,
    reason: Annotated[str | None, typer.Option(help="Why, for those who read it.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    cancelled = asyncio.run(_cancel(Instance(config, data, os.environ), run, reason))
    print_json(cancelled) if as_json else typer.echo(f"{run} is {cancelled.status}")


async def _cancel(instance: Instance, run: str, reason: str | None) -> CancelledDocument:
    async with require_service(instance) as service:
        return await service.cancel_run(run, reason)
