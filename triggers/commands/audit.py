"""`waypost audit`: who did what, from where, and with which result, the newest first."""

from collections.abc import Iterable
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.text import Text

from durable.audit import AuditOutcome, AuditVia
from durable.wording import make_printable
from triggers.commands.ask import ask_reader
from triggers.commands.output import format_time, open_console, print_json, print_more, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, Since, Until, parse_choice, parse_window
from triggers.documents.audit import AuditRecordDocument

COLUMNS = ("AT", "BY", "VIA", "ACTION", "TARGET", "RESULT", "REASON")

STYLES = {"done": "green", "refused": "yellow", "failed": "red"}


def audit(
    by: Annotated[str | None, typer.Option(help="Only what this key or person did, by name.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as cancel_run.")] = None,
    target: Annotated[str | None, typer.Option(help="Only what was done to this: the id of a run, a name.")] = None,
    via: Annotated[
        str | None, typer.Option(help="Only what was done by this way: api, dashboard, command or link.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="Only this result: done, refused, failed or begun.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The maximum number of actions.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    start, end = parse_window(since, until)
    filters = {
        "by": by,
        "action": action,
        "target": target,
        "via": parse_choice(get_args(AuditVia), via, "--via"),
        "outcome": parse_choice(get_args(AuditOutcome), outcome, "--outcome"),
        "from": start,
        "to": end,
        "limit": limit,
    }
    found = ask_reader(config, data, lambda reader: reader.list_audit(**filters))
    if as_json:
        print_json(found)
    elif found:
        print_records(open_console(), found)
        print_more(len(found), limit)
    else:
        typer.echo("there are no such actions")


def print_records(out: Console, found: Iterable[AuditRecordDocument]) -> None:
    """A line an action."""
    print_table(out, COLUMNS, map(_make_row, found), cut="REASON")


def _make_row(record: AuditRecordDocument) -> tuple[str | Text, ...]:
    result = record.outcome if record.status is None or record.status < 400 else f"{record.outcome} {record.status}"
    texts = (record.by, record.via, record.action, record.target)
    shown = (make_printable(text or "") for text in texts)
    reason = make_printable(record.reason or "")
    return format_time(record.at)[:19], *shown, Text(result, STYLES.get(record.outcome, "")), reason
