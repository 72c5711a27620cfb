"""`waypost history`: a run's history, entry by entry."""

import asyncio
import os
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triggers.commands.output import (
    GAP,
    console,
    format_time,
    is_cut,
    json_text,
    make_cuttable,
    print_json,
    print_plainly,
)
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, RunId
from triggers.documents import EntryDocument
from triggers.instance import Instance
from triggers.reading.reader import open_reader

Export = Annotated[
    bool, typer.Option("--export", help="Print it as it is stored, with its definition, to be replayed elsewhere.")
]


def history(
    run: RunId,
    export: Export = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    instance = Instance(config, data, os.environ)
    if export:
        typer.echo(asyncio.run(_export(instance, run)))
        return
    entries = asyncio.run(_list(instance, run))
    print_json(entries) if as_json else print_history(console(), entries)


async def _export(instance: Instance, run: str) -> str:
    async with open_reader(instance) as reader:
        return await reader.export_run(run)


async def _list(instance: Instance, run: str) -> list[EntryDocument]:
    async with open_reader(instance) as reader:
        return await reader.get_history(run)


def print_history(out: Console, history: Iterable[EntryDocument]) -> None:
    """A line an entry; where one is cut, how to see all of it."""
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for name in ("sequence", "at", "type"):
        grid.add_column(justify="right" if name == "sequence" else "left", no_wrap=True)
    grid.add_column()
    rows = [_make_row(out, entry) for entry in history]
    for row in rows:
        grid.add_row(*row)
    print_plainly(out, grid)
    if is_cut(out, rows):
        out.print("what ends with … is cut: --json prints all of it, and so does a pipe")


def _make_row(out: Console, entry: EntryDocument) -> tuple[str | Text, ...]:
    fields = {name: value for name, value in entry.items() if name not in ("sequence", "at", "type")}
    at = format_time(entry["at"])[11:] if out.is_terminal else format_time(entry["at"])
    return f"  {entry['sequence']}", at, entry["type"], make_cuttable(json_text(fields)) if fields else ""
