"""The command about schedules: when each fired, when it will, and what did not come."""

# ruff: noqa: PLC0415  # what a command does not need, it does not import

import asyncio
import os
from typing import Any

from triggers.commands.options import CONFIG, DATA, AsJson, Config, Data
from triggers.instance import Instance


def schedules(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    """List schedules: the last fire and its run, the next, and what was missed."""
    from triggers.commands.output import console, print_json
    from triggers.commands.times import print_schedules

    found = asyncio.run(_list_schedules(Instance(config, data, os.environ)))
    print_json(found) if as_json else print_schedules(console(), found)


async def _list_schedules(place: Instance) -> list[dict[str, Any]]:
    """Those of the running service, or those of the config folder with what the journal knows of them."""
    from triggers.reading import connect_service

    async with connect_service(place) as running:
        if running:
            return await running.schedules()

    from durable.clock import now
    from durable.journal.reads import open_reader
    from durable.journal.sqlite.files import FILE_NAME
    from durable.units import ScheduleProgress
    from triggers.commands.files import load_folder
    from triggers.schedules.timetable import describe_schedules
    from triggers.schedules.trigger import ScheduleTrigger

    rows: dict[str, ScheduleProgress] = {}
    if (place.data / FILE_NAME).exists():
        reads = await open_reader(place.data)
        try:
            rows = {row.id: row for row in await reads.list_schedules()}
        finally:
            await reads.close()
    return describe_schedules(load_folder(place.config, place.environment).find_triggers(ScheduleTrigger), rows, now())
