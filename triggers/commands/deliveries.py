"""`waypost deliveries`: the requests that arrived on webhooks, the newest first, with their outcomes."""

from collections.abc import Iterable
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.text import Text

from durable.units import DeliveryOutcome
from durable.wording import make_printable
from triggers.commands.ask import ask_reader, complete_id
from triggers.commands.output import format_time, open_console, print_json, print_more, print_table
from triggers.commands.parameters import (
    CONFIG,
    DATA,
    AsJson,
    Config,
    Data,
    OutcomeFilter,
    Since,
    Until,
    parse_choice,
    parse_window,
)
from triggers.commands.unknown_paths import print_unknown_paths
from triggers.documents.deliveries import DeliveryDocument
from triggers.reading.reader import Reader

OUTCOME_STYLES = {"accepted": "green", "rejected": "red", "filtered": "yellow", "skipped": "yellow"}

Trigger = Annotated[str | None, typer.Option(metavar="PIPELINE/TRIGGER", help="Only deliveries to this webhook.")]
Event = Annotated[str | None, typer.Option(help="Only deliveries of this event, including duplicates.")]

Unknown = Annotated[bool, typer.Option("--unknown", help="List requests to paths that no webhook serves instead.")]


def deliveries(
    trigger: Trigger = None,
    outcome: OutcomeFilter = None,
    since: Since = None,
    until: Until = None,
    event: Event = None,
    unknown: Unknown = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The maximum number of deliveries.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if unknown:
        paths = ask_reader(config, data, lambda reader: reader.list_unknown_paths())
        print_json(paths) if as_json else print_unknown_paths(open_console(), paths)
        return
    start, end = parse_window(since, until)
    filters = {
        "trigger": trigger,
        "outcome": parse_choice(get_args(DeliveryOutcome), outcome, "--outcome"),
        "from": start,
        "to": end,
        "limit": limit,
    }

    async def ask(reader: Reader) -> list[DeliveryDocument]:
        whole = event and await complete_id(reader, "event", event)
        return await reader.list_deliveries(**filters, event=whole)

    found = ask_reader(config, data, ask)
    if as_json:
        print_json(found)
    elif found:
        print_deliveries(open_console(), found)
        print_more(len(found), limit)
    else:
        typer.echo("there are no such deliveries; `--unknown` lists requests that no webhook serves")


def print_deliveries(out: Console, found: Iterable[DeliveryDocument]) -> None:
    """A line a delivery."""
    columns = ("DELIVERY", "WEBHOOK", "AT", "OUTCOME", "REASON")
    print_table(out, columns, map(_make_row, found), fold="REASON")


def _make_row(delivery: DeliveryDocument) -> tuple[str | Text, ...]:
    at = format_time(delivery.at)[5:19]
    return delivery.id, delivery.trigger, at, style_outcome(delivery.outcome), make_printable(delivery.reason or "")


def style_outcome(outcome: str) -> Text:
    """An outcome in its colour."""
    return Text(outcome, OUTCOME_STYLES.get(outcome, ""))
