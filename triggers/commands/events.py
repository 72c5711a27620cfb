"""Commands about what comes in: what arrived on webhooks, and an event that a person tells of."""

# ruff: noqa: PLC0415  # what a command does not need, it does not import

import asyncio
import os
from typing import Annotated, Any, TypeAlias

import typer

from triggers.commands.failure import no_service
from triggers.commands.options import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.commands.parse_values import check_header_value, parse_json
from triggers.instance import Instance

Document: TypeAlias = dict[str, Any]


def deliveries(
    webhook: Annotated[str | None, typer.Option(metavar="PIPELINE/TRIGGER", help="Only on this webhook.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only with this outcome.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """List what arrived on webhooks, the newest first, and what became of it."""
    from triggers.commands.output import console, print_json
    from triggers.commands.show import print_deliveries
    from triggers.reading import open_run_reader

    wanted = _outcome(outcome) if outcome is not None else None

    async def ask() -> list[Document]:
        async with open_run_reader(Instance(config, data, os.environ)) as source:
            return await source.deliveries(trigger=webhook, outcome=wanted, limit=limit)

    found = asyncio.run(ask())
    print_json(found) if as_json else print_deliveries(console(), found)


def _outcome(given: str) -> str | None:
    from typing import get_args

    from durable.units import DeliveryOutcome

    return parse_choice(get_args(DeliveryOutcome), given, "--outcome")


def emit(
    type: Annotated[str, typer.Argument(help="What happened, as pipelines and waits name it.")],
    subject: Annotated[str | None, typer.Option(help="What it happened to: what a wait matches.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it happened; default: api.")] = None,
    value: Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="What is known of it: the data.")] = None,
    key: Annotated[str | None, typer.Option(help="The same key again is the same event, for seven days.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Tell of an event: to pipelines that listen for it, and to steps that wait for it."""
    from triggers.commands.output import print_json
    from triggers.reading import connect_service

    key = check_header_value(key, "--key")
    event: Document = {"type": type, "subject": subject}
    if source is not None:
        event["source"] = source
    if value is not None:
        event["data"] = parse_json(value, "--value")

    async def ask() -> Document:
        async with connect_service(Instance(config, data, os.environ)) as running:
            if running is None:
                raise no_service(data)
            return await running.emit(event, key)

    told = asyncio.run(ask())
    if as_json:
        print_json(told)
        return
    typer.echo(f"{told['event']}{' (it was told of before)' if told['duplicate'] else ''}")
    for run in told["runs"]:
        typer.echo(f"started {run}")
