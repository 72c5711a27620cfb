"""`waypost runs`: runs, the newest first."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.text import Text

from durable.history.words import RunStatus
from durable.units import IdKind
from durable.wording import make_printable, quote
from triggers.commands.ask import ask_reader, complete_id
from triggers.commands.output import format_span, format_time, open_console, print_json, print_table, style_status
from triggers.commands.parameters import (
    CONFIG,
    DATA,
    AsJson,
    Config,
    Data,
    ErrorFilter,
    PipelineFilter,
    Since,
    StatusFilter,
    TagFilter,
    TriggerFilter,
    Until,
    VersionFilter,
    parse_choice,
    parse_time,
)
from triggers.documents.runs import RunLineDocument
from triggers.reading.reader import Reader

ID_FILTERS: Mapping[str, IdKind] = {"event": "event", "version": "version", "source": "run"}
"""The filters that are ids, of which a part is enough."""

Event = Annotated[str | None, typer.Option(help="Only runs that this event started.")]
Source = Annotated[str | None, typer.Option(help="Only runs that repeat this run or delivery.")]


def runs(
    pipeline: PipelineFilter = None,
    status: StatusFilter = None,
    tag: TagFilter = None,
    since: Since = None,
    until: Until = None,
    error: ErrorFilter = None,
    trigger: TriggerFilter = None,
    event: Event = None,
    version: VersionFilter = None,
    source: Source = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The maximum number of runs.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    filters = {
        "pipeline": pipeline,
        "status": parse_choice(get_args(RunStatus), status, "--status"),
        "tag": tag,
        "from": parse_time(since, "--from"),
        "to": parse_time(until, "--to"),
        "error": error,
        "trigger": trigger,
        "event": event,
        "version": version,
        "source": source,
    }
    wanted = {name: value for name, value in filters.items() if value is not None}
    found = ask_reader(config, data, lambda reader: _list(reader, wanted, limit))
    if as_json:
        print_json(found)
    elif found:
        print_runs(open_console(), found)
    else:
        typer.echo(f"there are no runs{' with ' if wanted else ''}{describe_filters(wanted)}")


async def _list(reader: Reader, wanted: Mapping[str, str], limit: int) -> list[RunLineDocument]:
    whole: dict[str, Any] = dict(wanted)
    for name, kind in ID_FILTERS.items():
        if name in wanted:
            whole[name] = await complete_id(reader, kind, wanted[name], wanted.get("pipeline"))
    return await reader.list_runs(**whole, limit=limit)


def describe_filters(wanted: Mapping[str, str]) -> str:
    """The filters in words: `pipeline 'orders', status 'failed', from 2027-01-31 18:00:00`."""
    return ", ".join(
        f"{name} {format_time(value)[:19] if name in ('from', 'to') else quote(value)}"
        for name, value in wanted.items()
    )


def print_runs(out: Console, found: Iterable[RunLineDocument]) -> None:
    """A line a run."""
    columns = ("RUN", "PIPELINE", "STATUS", "STARTED", "TOOK", "WHY")
    print_table(out, columns, map(_make_row, found), cut="WHY")


def _make_row(run: RunLineDocument) -> tuple[str | Text, ...]:
    started, took = format_time(run.created_at)[5:19], format_span(run.created_at, run.finished_at)
    why = make_printable(run.why or "")
    return run.id, run.pipeline, style_status(run.status), started, took, why
