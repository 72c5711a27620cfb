"""`waypost emit`: send an event to the pipelines that listen for it and to the steps that wait for it."""

from typing import Annotated, Any

import typer

from triggers.commands.ask import ask_service
from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.parse_values import check_header_value, parse_json


def emit(
    type: Annotated[str, typer.Argument(help="The type of the event, such as order.paid.")],
    subject: Annotated[str | None, typer.Option(help="The subject of the event, which waits can match.")] = None,
    source: Annotated[str | None, typer.Option(help="The source of the event; default: api.")] = None,
    value: Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="The data of the event.")] = None,
    key: Annotated[
        str | None, typer.Option(help="An idempotency key; events with the same key are duplicates for seven days.")
    ] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    key = check_header_value(key, "--key")
    event: dict[str, Any] = {"type": type, "subject": subject}
    if source is not None:
        event["source"] = source
    if value is not None:
        event["data"] = parse_json(value, "--value")
    emitted = ask_service(config, data, lambda service: service.emit_event(event, key))
    if as_json:
        print_json(emitted)
        return
    typer.echo(f"{emitted.event}{' (a duplicate)' if emitted.duplicate else ''}")
    for run in emitted.runs:
        typer.echo(f"started {run}")
