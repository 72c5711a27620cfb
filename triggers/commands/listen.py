"""`waypost listen`: show live what arrives at the running service, until Ctrl-C."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated

import httpx
import msgspec
import typer
from rich.console import Console
from rich.text import Text

from durable.clock import now
from durable.wording import make_printable
from triggers.commands.arrivals import Arrival, Arrivals, find_time
from triggers.commands.ask import ask_service
from triggers.commands.deliveries import OUTCOME_STYLES
from triggers.commands.failure import NOT_READY, CommandFailed
from triggers.commands.output import format_json, format_span, format_time, open_console, style_status
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, complete_pipeline_ids
from triggers.documents.deliveries import DeliveryDocument
from triggers.documents.runs import RunLineDocument
from triggers.documents.unknown_paths import UnknownPathDocument
from triggers.reading.client import ServiceClient
from triggers.signals import watch_stop_signals

EVERY = 0.5
"""Seconds between two questions."""


def listen(
    pipeline: Annotated[
        str | None, typer.Option(help="Only show this pipeline.", autocompletion=complete_pipeline_ids)
    ] = None,
    trigger: Annotated[str | None, typer.Option(metavar="PIPELINE/TRIGGER", help="Only show this trigger.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    name = None
    if trigger is not None:
        pipeline, slash, name = trigger.partition("/")
        if not slash or not pipeline or not name:
            raise typer.BadParameter(f"{trigger!r} is not PIPELINE/TRIGGER", param_hint="'--trigger'")
    out = open_console()
    show = print_arrival_json if as_json else print_arrival
    ask_service(config, data, lambda service: _listen(service, pipeline, name, lambda each: show(out, each)))


async def _listen(
    service: ServiceClient, pipeline: str | None, trigger: str | None, show: Callable[[Arrival], None]
) -> None:
    stopping = watch_stop_signals()
    arrivals = Arrivals(service, now(), pipeline, trigger)
    try:
        await arrivals.begin()
        found = await arrivals.ask(now())  # an unknown name ends the command before it says that it listens
        open_console(err=True).print(f"listening at {service.url}; Ctrl-C to stop", soft_wrap=True)
        while not stopping.is_set():
            for arrival in found:
                show(arrival)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), EVERY)
            found = await arrivals.ask(now())
    except httpx.TransportError:
        raise CommandFailed(f"the service at {service.url} no longer responds", NOT_READY) from None


def print_arrival(out: Console, arrival: Arrival) -> None:
    """A line for people."""
    at = Text(f"{format_time(find_time(arrival))[11:]}  ")
    match arrival:
        case DeliveryDocument():
            outcome = Text(f"{arrival.outcome:9}  ", OUTCOME_STYLES.get(arrival.outcome, ""))
            ids = "  ".join(filter(None, (arrival.trigger, arrival.id, arrival.event)))
            line = Text.assemble(at, outcome, f"{arrival.method} {make_printable(arrival.path)}  {ids}")
            reason = arrival.reason
        case UnknownPathDocument():
            times = f"  ({arrival.count} times)" if arrival.count > 1 else ""
            outcome = Text(f"{'unknown':9}  ", "red")
            line = Text.assemble(at, outcome, f"{arrival.method} {make_printable(arrival.path)}{times}")
            reason = arrival.hint
        case RunLineDocument():
            status = Text(f"{arrival.status:9}  ", style_status(arrival.status).style)
            took = format_span(arrival.created_at, arrival.finished_at)
            line = Text.assemble(
                at, status, "  ".join(filter(None, (arrival.id, arrival.pipeline, arrival.event, took)))
            )
            reason = arrival.why or arrival.reason
    out.print(Text.assemble(line, f"  {make_printable(reason)}" if reason else ""), soft_wrap=True)
    out.file.flush()


def print_arrival_json(out: Console, arrival: Arrival) -> None:
    """A line of JSON, for programs."""
    kinds = {DeliveryDocument: "delivery", UnknownPathDocument: "unknown_path"}
    document = {"kind": kinds.get(type(arrival), "run")} | msgspec.to_builtins(arrival)
    out.print(format_json(document), soft_wrap=True)
    out.file.flush()
