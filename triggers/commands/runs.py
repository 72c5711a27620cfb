"""`waypost runs`: runs, the newest first."""

from collections.abc import Iterable
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.text import Text

from durable.history.words import RunStatus
from durable.wording import make_printable
from triggers.commands.ask import ask_reader
from triggers.commands.output import format_span, format_time, open_console, print_json, print_table, style_status
from triggers.commands.parameters import (
    CONFIG,
    DATA,
    AsJson,
    Config,
    Data,
    complete_pipeline_ids,
    parse_choice,
)
from triggers.documents.runs import RunLineDocument

Pipeline = Annotated[
    str | None, typer.Option("--pipeline", help="Only runs of this pipeline.", autocompletion=complete_pipeline_ids)
]


def runs(
    pipeline: Pipeline = None,
    status: Annotated[str | None, typer.Option(help="Only runs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The maximum number of runs.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    wanted = parse_choice(get_args(RunStatus), status, "--status")
    filters = {"pipeline": pipeline, "status": wanted, "limit": limit}
    found = ask_reader(config, data, lambda reader: reader.list_runs(**filters))
    print_json(found) if as_json else print_runs(open_console(), found)


def print_runs(out: Console, found: Iterable[RunLineDocument]) -> None:
    """A line a run."""
    columns = ("RUN", "PIPELINE", "STATUS", "STARTED", "TOOK", "WHY")
    print_table(out, columns, map(_make_row, found), cut="WHY")


def _make_row(run: RunLineDocument) -> tuple[str | Text, ...]:
    started, took = format_time(run.created_at)[5:19], format_span(run.created_at, run.finished_at)
    why = make_printable(run.why or "")
    return run.id, run.pipeline, style_status(run.status), started, took, why
