"""`waypost runs`: runs, the newest first."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.text import Text

from durable.history.words import RunStatus
from durable.units import IdKind
from durable.wording import make_printable, quote
from triggers.commands.ask import ask_reader, ask_service, complete_id
from triggers.commands.follow_runs import follow_runs
from triggers.commands.output import (
    format_span,
    format_time,
    open_console,
    print_json,
    print_more,
    print_table,
    style_status,
)
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
    parse_window,
)
from triggers.documents.runs import RunLineDocument
from triggers.reading.reader import Reader

ID_FILTERS: Mapping[str, IdKind] = {"event": "event", "version": "version", "source": "run"}
"""The filters that are ids, of which a part is enough."""

IN_WORDS: Mapping[str, str] = {
    "pipeline": "of the pipeline",
    "tag": "with the tag",
    "error": "with the error",
    "trigger": "of the trigger",
    "event": "of the event",
    "version": "of the version",
    "source": "that repeat",
}

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
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on, with a line whenever the status of a run changes.")
    ] = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    start, end = parse_window(since, until)
    filters = {
        "pipeline": pipeline,
        "status": parse_choice(get_args(RunStatus), status, "--status"),
        "tag": tag,
        "from": start,
        "to": end,
        "error": error,
        "trigger": trigger,
        "event": event,
        "version": version,
        "source": source,
    }
    wanted = {name: value for name, value in filters.items() if value is not None}
    if follow:
        _ensure_can_follow(wanted)
        parts = pipeline, tag, filters["status"], limit
        ask_service(config, data, lambda service: follow_runs(service, *parts, as_json=as_json))
        return
    found = ask_reader(config, data, lambda reader: _list(reader, wanted, limit))
    if as_json:
        print_json(found)
    elif found:
        print_runs(open_console(), found)
        print_more(len(found), limit)
    else:
        adjective = f"{status} " if status else ""
        typer.echo(f"there are no {adjective}runs{describe_filters(wanted)}")


def _ensure_can_follow(wanted: Mapping[str, str]) -> None:
    """Raise `BadParameter` for a filter that changes of runs do not have."""
    if left := wanted.keys() - {"pipeline", "tag", "status"}:
        options = ", ".join(f"--{name}" for name in sorted(left))
        what = f"it follows by --pipeline, --tag and --status; leave out {options}"
        raise typer.BadParameter(what, param_hint="'--follow'")


async def _list(reader: Reader, wanted: Mapping[str, str], limit: int) -> list[RunLineDocument]:
    whole: dict[str, Any] = dict(wanted)
    for name, kind in ID_FILTERS.items():
        if name in wanted:
            is_delivery = name == "source" and wanted[name].startswith("dlv_")
            whole[name] = await complete_id(
                reader, "delivery" if is_delivery else kind, wanted[name], wanted.get("pipeline")
            )
    return await reader.list_runs(**whole, limit=limit)


def describe_filters(wanted: Mapping[str, str]) -> str:
    """The filters in words, without the status: ` of the pipeline 'orders' with the tag 'eu' that started …`."""
    named = "".join(f" {words} {quote(wanted[name])}" for name, words in IN_WORDS.items() if name in wanted)
    bounds = (("from", "at or after"), ("to", "before"))
    times = [f"{words} {format_time(wanted[name])[:19]}" for name, words in bounds if name in wanted]
    return named + (f" that started {' and '.join(times)}" if times else "")


def print_runs(out: Console, found: Iterable[RunLineDocument]) -> None:
    """A line a run."""
    columns = ("RUN", "PIPELINE", "STATUS", "STARTED", "TOOK", "WHY")
    print_table(out, columns, map(_make_row, found), cut="WHY")


def _make_row(run: RunLineDocument) -> tuple[str | Text, ...]:
    started, took = format_time(run.created_at)[5:19], format_span(run.created_at, run.finished_at)
    why = make_printable(run.why or "")
    return run.id, run.pipeline, style_status(run.status), started, took, why
