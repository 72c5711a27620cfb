"""`waypost run`: start a run and follow it to its end, by the running service or by one for this run alone."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console

from durable.lazy import load_module
from durable.wording import suggest
from triggers.commands.ask import ask_service, complete_id
from triggers.commands.event_loop import run_on_uvloop
from triggers.commands.failure import CommandFailed
from triggers.commands.follow import FollowedRun, follow, open_view, print_end, print_left_behind
from triggers.commands.output import open_console, print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, PipelineId
from triggers.commands.parse_values import (
    parse_document,
    parse_json_object,
    parse_named_values,
    suggest_quotes,
    wants_text,
)
from triggers.documents.starts import StartedDocument
from triggers.instance import Instance
from triggers.reading.client import ServiceClient, ServiceRefused, connect_service
from triggers.signals import watch_stop_signals

Input = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input, as JSON or text; repeatable.")
]
Inputs = Annotated[
    str | None,
    typer.Option("--inputs", metavar="JSON|@FILE", help="All inputs as a JSON object; @- reads standard input."),
]
EventId = Annotated[
    str | None,
    typer.Option("--event", metavar="EVENT", help="Start with an event of the journal, as the trigger would."),
]
Document = Annotated[
    str | None,
    typer.Option("--trigger", metavar="FILE", help="Start with this `trigger` document, in JSON or YAML."),
]
TriggerId = Annotated[
    str | None,
    typer.Option("--trigger-id", metavar="ID", help="The trigger to use; default: the only one that accepts it."),
]
Detach = Annotated[bool, typer.Option("--detach", help="Start the run, print its id and return.")]


def run(
    pipeline: PipelineId,
    given: Input = None,
    inputs: Inputs = None,
    event: EventId = None,
    document: Document = None,
    trigger: TriggerId = None,
    detach: Detach = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    order = RunOrder(
        pipeline, _merge_inputs(inputs, given or ()), given or (), _describe_arrival(event, document, trigger)
    )
    if order.arrival and order.inputs:
        raise typer.BadParameter("the trigger computes the inputs: omit --input and --inputs", param_hint="'--event'")
    instance = Instance(config, data, os.environ)
    if detach:
        started = ask_service(config, data, lambda service: _start(service, order))
        print_json(started) if as_json else typer.echo(started.id)
        return
    followed = run_on_uvloop(_start_and_follow(instance, order, is_quiet=as_json))
    if as_json:
        print_json(followed.run)
    print_end(followed, is_quiet=as_json)


# -- starting ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunOrder:
    """The run to start: its pipeline, its inputs, the options of `--input` as they were typed, and, instead of inputs,
    what a trigger gets."""

    pipeline: str
    inputs: dict[str, Any]
    typed: Sequence[str] = field(default=())
    arrival: Mapping[str, Any] | None = None


def _describe_arrival(event: str | None, document: str | None, trigger: str | None) -> dict[str, Any] | None:
    """What a trigger gets, as the API takes it; None if the run gets inputs."""
    if event is not None and document is not None:
        raise typer.BadParameter("use it or --trigger, not both", param_hint="'--event'")
    if event is None and document is None:
        if trigger is not None:
            raise typer.BadParameter("it can only be used with --event or --trigger", param_hint="'--trigger-id'")
        return None
    given = {"event": event} if event is not None else {"document": parse_document(document or "", "--trigger")}
    return {**given, "trigger": trigger}


def _merge_inputs(whole: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """The inputs of `--inputs`, with those of `--input` put over them."""
    inputs = parse_json_object(whole, "--inputs") if whole is not None else {}
    return inputs | parse_named_values(pairs, "--input")


async def _start_and_follow(instance: Instance, order: RunOrder, *, is_quiet: bool) -> FollowedRun:
    stopping = watch_stop_signals()
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(connect_service(instance))
        service = running if running else await stack.enter_async_context(_open_own_service(instance))
        started = await _start(service, order)
        with open_view(Console(quiet=True) if is_quiet else open_console(err=True)) as view:
            followed = await follow(service, started.id, stopping, view)
        if not followed.is_over:
            print_left_behind(started.id, None if running else instance.data)
        return followed


def _open_own_service(instance: Instance) -> contextlib.AbstractAsyncContextManager[ServiceClient]:
    # A whole service takes a second to import, which a run by the running service does not need.
    opened: contextlib.AbstractAsyncContextManager[ServiceClient]
    opened = load_module("triggers.commands.own_service").open_own_service(instance)
    return opened


async def _start(service: ServiceClient, order: RunOrder) -> StartedDocument:
    """Start the run. Raises `CommandFailed` that explains why the pipeline cannot run, or how to type a text."""
    try:
        if order.arrival is None:
            return await service.start_run(order.pipeline, order.inputs)
        return await service.trigger_run(order.pipeline, await _complete_event(service, order.arrival))
    except ServiceRefused as refused:
        if refused.status != 404:
            raise _add_quotes_hint(refused, order.typed) from None
    known = {each.id: each for each in await service.list_pipelines()}
    if order.pipeline in known:
        why = "; ".join(known[order.pipeline].problems) or "it is disabled"
        raise CommandFailed(f"the pipeline {order.pipeline} cannot run: {why}")
    hint = suggest(order.pipeline, known) or "`waypost pipelines` lists them"
    raise CommandFailed(f"there is no pipeline {order.pipeline!r}; {hint}")


async def _complete_event(service: ServiceClient, arrival: Mapping[str, Any]) -> dict[str, Any]:
    """What a trigger gets, with the whole id of an event that was shortened."""
    event = arrival.get("event")
    return dict(arrival) if event is None else {**arrival, "event": await complete_id(service, "event", event)}


def _add_quotes_hint(refused: ServiceRefused, pairs: Sequence[str]) -> Exception:
    """The refusal, with how to type a text where one of `--input` was taken for other JSON."""
    problems = (problem.partition(": ") for problem in f"; {refused}".split("; inputs."))
    hint = suggest_quotes(pairs, "--input", [name for name, _, detail in problems if wants_text(detail)])
    return CommandFailed(f"{refused}; {hint}") if hint else refused
