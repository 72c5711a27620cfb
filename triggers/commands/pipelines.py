"""`waypost pipelines`: the pipelines of the running service, or of the config folder."""

import asyncio
import os
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from triggers.commands.output import console, format_count, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.documents import PipelineLineDocument
from triggers.instance import Instance
from triggers.reading.reader import open_reader

STYLES = {"serving": "green", "valid": "green", "disabled": "red", "serving the version before": "yellow"}


def pipelines(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = asyncio.run(_list(Instance(config, data, os.environ)))
    print_json(found) if as_json else print_pipelines(console(), found)


async def _list(instance: Instance) -> list[PipelineLineDocument]:
    async with open_reader(instance) as reader:
        return await reader.list_pipelines()


def print_pipelines(out: Console, found: Sequence[PipelineLineDocument]) -> None:
    """A line a pipeline, then the problems."""
    rows = ((each.id, _style_status(each.status), each.file, _summarize(each)) for each in found)
    print_table(out, ("PIPELINE", "STATUS", "FILE", "WEBHOOKS"), rows, fold="WEBHOOKS")
    for each in found:
        for problem in each.problems:
            out.print(problem, soft_wrap=True)


def _style_status(status: str) -> Text:
    return Text(status, STYLES.get(status, ""))


def _summarize(file: PipelineLineDocument) -> str:
    problems = [format_count(len(file.problems), "problem")] if file.problems else []
    return "  ".join([*file.webhooks, *problems])
