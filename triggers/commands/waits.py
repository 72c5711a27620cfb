"""`waypost waits`: what waits for a person, an answer or an event, and what to do next."""

from typing import Annotated

import typer

from triggers.commands.ask import ask_reader, ask_reader_about
from triggers.commands.next_steps import print_waits
from triggers.commands.output import open_console, print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, complete_run_ids
from triggers.documents.waits import PendingDocument
from triggers.reading.reader import Reader


def waits(
    run: Annotated[str | None, typer.Argument(help="Only waits of this run.", autocompletion=complete_run_ids)] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if run is None:
        found, here = ask_reader(config, data, lambda reader: _list(reader, None))
    else:
        found, here = ask_reader_about(config, data, run, _list)
    print_json(found) if as_json else print_waits(open_console(), found, here)


async def _list(reader: Reader, run: str | None) -> tuple[list[PendingDocument], str | None]:
    return await reader.list_waits(run), reader.url
