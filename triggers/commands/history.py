"""`waypost history`: a run's history, entry by entry."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triggers.commands.ask import ask_reader_about
from triggers.commands.output import (
    GAP,
    format_json,
    format_time,
    is_cut,
    make_cuttable,
    open_console,
    print_json,
    print_plainly,
)
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, OfPipeline, RunId
from triggers.documents.runs import EntryDocument
from triggers.reading.reader import Reader

Export = Annotated[
    bool,
    typer.Option("--export", help="Print the history as it is stored, with its definition, to replay it elsewhere."),
]


def history(
    run: RunId,
    pipeline: OfPipeline = None,
    export: Export = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if export:
        typer.echo(ask_reader_about(config, data, run, lambda reader, run: reader.export_run(run), pipeline=pipeline))
        return
    ask_reader_about(config, data, run, _print_json if as_json else _print_pages, pipeline=pipeline)


async def _print_pages(reader: Reader, run: str) -> None:
    await print_history(open_console(), reader, run)


async def _print_json(reader: Reader, run: str) -> None:
    print_json([entry async for page in reader.read_history(run) for entry in page])


async def print_history(out: Console, reader: Reader, run: str) -> None:
    """Print a line for each entry, page by page, so that the first ones of a long history are there at once; at the
    end how to see what is cut."""
    is_any_cut = False
    async for entries in reader.read_history(run):
        is_any_cut |= _print_entries(out, entries)
    if is_any_cut:
        out.print("values that end with … are cut; use --json or a pipe to see all of them")


def _print_entries(out: Console, entries: Iterable[EntryDocument]) -> bool:
    """Print a page of a history; return whether something was cut."""
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for name in ("sequence", "at", "type"):
        grid.add_column(justify="right" if name == "sequence" else "left", no_wrap=True)
    grid.add_column()
    rows = [_make_row(out, entry) for entry in entries]
    for row in rows:
        grid.add_row(*row)
    print_plainly(out, grid)
    return is_cut(out, rows)


def _make_row(out: Console, entry: EntryDocument) -> tuple[str | Text, ...]:
    fields = {name: value for name, value in entry.items() if name not in ("sequence", "at", "type", "text")}
    at = format_time(entry["at"])[11:] if out.is_terminal else format_time(entry["at"])
    return f"  {entry['sequence']}", at, entry["type"], make_cuttable(format_json(fields)) if fields else ""
