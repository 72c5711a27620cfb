"""`waypost deliveries`: the requests that arrived on webhooks, the newest first, with their outcomes."""

from collections.abc import Iterable
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.text import Text

from durable.units import DeliveryOutcome
from durable.wording import make_printable
from triggers.commands.ask import ask_reader
from triggers.commands.output import format_time, open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.commands.unknown_paths import print_unknown_paths
from triggers.documents.deliveries import DeliveryDocument

OUTCOME_STYLES = {"accepted": "green", "rejected": "red", "filtered": "yellow", "skipped": "yellow"}


def deliveries(
    webhook: Annotated[
        str | None, typer.Option(metavar="PIPELINE/TRIGGER", help="Only deliveries to this webhook.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="Only deliveries with this outcome.")] = None,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="List requests to paths that no webhook serves instead.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The maximum number of deliveries.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if unknown:
        paths = ask_reader(config, data, lambda reader: reader.list_unknown_paths())
        print_json(paths) if as_json else print_unknown_paths(open_console(), paths)
        return
    wanted = parse_choice(get_args(DeliveryOutcome), outcome, "--outcome")
    filters = {"trigger": webhook, "outcome": wanted, "limit": limit}
    found = ask_reader(config, data, lambda reader: reader.list_deliveries(**filters))
    print_json(found) if as_json else print_deliveries(open_console(), found)


def print_deliveries(out: Console, found: Iterable[DeliveryDocument]) -> None:
    """A line a delivery."""
    columns = ("DELIVERY", "WEBHOOK", "AT", "OUTCOME", "REASON")
    print_table(out, columns, map(_make_row, found), fold="REASON")


def _make_row(delivery: DeliveryDocument) -> tuple[str | Text, ...]:
    outcome = Text(delivery.outcome, OUTCOME_STYLES.get(delivery.outcome, ""))
    at = format_time(delivery.at)[5:19]
    return delivery.id, delivery.trigger, at, outcome, make_printable(delivery.reason or "")
