"""`waypost resume`: let a paused run go on."""

import asyncio
import os

import typer

from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, RunId
from triggers.commands.running_service import require_service
from triggers.documents import TakenDocument
from triggers.instance import Instance


def resume(run: RunId, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    resumed = asyncio.run(_resume(Instance(config, data, os.environ), run))
    print_json(resumed) if as_json else typer.echo(f"resumed; {resumed.id} is {resumed.status}")


async def _resume(instance: Instance, run: str) -> TakenDocument:
    async with require_service(instance) as service:
        return await service.resume_run(run)
