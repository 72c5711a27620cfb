"""`waypost errors`: why runs failed, a line for all runs with the same failure."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from durable.wording import make_printable
from triggers.commands.ask import ask_reader
from triggers.commands.output import format_time, open_console, print_json, print_more, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, PipelineFilter, Since, Until, parse_window
from triggers.commands.runs import describe_filters
from triggers.documents.errors import ErrorGroupDocument
from triggers.documents.repairs import can_retry

COLUMNS = ("ERROR", "RUNS", "SINCE", "LAST", "NEWEST RUN", "PIPELINES", "WHY")


def errors(
    pipeline: PipelineFilter = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The maximum number of failures.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    start, end = parse_window(since, until)
    filters = {"pipeline": pipeline, "from": start, "to": end}
    wanted = {name: value for name, value in filters.items() if value is not None}
    found = ask_reader(config, data, lambda reader: reader.list_errors(**wanted, limit=limit))
    if as_json:
        print_json(found)
    elif found:
        print_errors(open_console(), found)
        print_more(len(found), limit)
    else:
        typer.echo(f"no run{describe_filters(wanted)} has failed")


def print_errors(out: Console, found: Sequence[ErrorGroupDocument]) -> None:
    """A line a failure, then what to do next."""
    print_table(out, COLUMNS, map(_make_row, found), cut="WHY")
    newest = found[0]
    out.print(f"\nwaypost runs --error {newest.key}  lists the runs of a failure", soft_wrap=True)
    if can_retry(newest.error_class, newest.code):
        out.print(f"waypost retry --all --error {newest.key}  retries them, after a preview", soft_wrap=True)
    else:
        what = "runs them anew once the pipeline is corrected, after a preview"
        out.print(f"waypost rerun --all --error {newest.key}  {what}", soft_wrap=True)
    out.print(f"waypost show {newest.newest}  shows one of them", soft_wrap=True)


def _make_row(group: ErrorGroupDocument) -> tuple[str, ...]:
    count = f"{group.count}{'+' if group.has_more else ''}"
    since, last = format_time(group.first_seen)[5:19], format_time(group.last_seen)[5:19]
    pipelines = ", ".join(group.pipelines)
    return group.key, count, since, last, group.newest, pipelines, make_printable(group.why or "")
