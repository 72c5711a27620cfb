"""Commands about runs: start one and follow it, list, tell and cancel."""

# ruff: noqa: PLC0415  # what a command does not need, it does not import

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from triggers.commands.arguments import PipelineId, RunId
from triggers.commands.completion import pipeline_ids
from triggers.commands.failure import FAILED, CommandFailed, no_service
from triggers.commands.options import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.commands.parse_values import parse_json_object, parse_named_values, suggest_quotes, wants_text
from triggers.commands.service import run_on_uvloop
from triggers.instance import Instance

if TYPE_CHECKING:
    from triggers.commands.follow import Followed
    from triggers.reading import OverApi, Refused

Document: TypeAlias = dict[str, Any]

Given = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input; JSON, or else text. Repeatable.")
]
GivenWhole = Annotated[
    str | None, typer.Option("--inputs", metavar="JSON|@FILE", help="All inputs as a JSON object; @- reads them here.")
]
Export = Annotated[
    bool, typer.Option("--export", help="Print it as it is stored, with its definition, to be replayed elsewhere.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Start it, print its id and return.")]


def run(
    pipeline: PipelineId,
    given: Given = None,
    inputs: GivenWhole = None,
    detach: Detach = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Start a run and follow it to its end."""
    values = _inputs(inputs, given or ())
    from triggers.commands.output import print_json

    place = Instance(config, data, os.environ)
    if detach:
        started = asyncio.run(_start_detached(place, pipeline, values, given or ()))
        print_json(started) if as_json else typer.echo(started["id"])
        return
    followed = run_on_uvloop(_start_and_follow(place, pipeline, values, given or (), is_quiet=as_json))
    if as_json:
        print_json(followed.told)
    _print_end(followed, is_quiet=as_json)


def runs(
    pipeline: Annotated[str | None, typer.Option(help="Only of this pipeline.", autocompletion=pipeline_ids)] = None,
    status: Annotated[str | None, typer.Option(help="Only with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    from triggers.commands.output import console, print_json
    from triggers.commands.show import print_runs
    from triggers.reading import open_run_reader

    wanted = _status(status) if status is not None else None

    async def ask() -> list[Document]:
        async with open_run_reader(Instance(config, data, os.environ)) as source:
            return await source.runs(pipeline=pipeline, status=wanted, limit=limit)

    found = asyncio.run(ask())
    print_json(found) if as_json else print_runs(console(), found)


def _status(given: str) -> str | None:
    from typing import get_args

    from durable.history.words import RunStatus

    return parse_choice(get_args(RunStatus), given, "--status")


def show(run: RunId, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    """Tell one run: steps, attempts, values, errors, history."""
    from triggers.commands.output import console, print_json
    from triggers.commands.show import print_run
    from triggers.reading import open_run_reader

    async def ask() -> tuple[Document, list[Document], str | None]:
        async with open_run_reader(Instance(config, data, os.environ)) as source:
            return await source.get_run(run), await source.history(run), source.url

    told, entries, here = asyncio.run(ask())
    print_json(told | {"history": entries}) if as_json else print_run(console(), told, entries, here)


def history(
    run: RunId,
    export: Export = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Tell a run's history, entry by entry."""
    from triggers.commands.output import console, print_json
    from triggers.commands.show import print_history
    from triggers.reading import open_run_reader

    if export:
        typer.echo(asyncio.run(_export(Instance(config, data, os.environ), run)))
        return

    async def ask() -> list[Document]:
        async with open_run_reader(Instance(config, data, os.environ)) as source:
            return await source.history(run)

    entries = asyncio.run(ask())
    print_json(entries) if as_json else print_history(console(), entries)


async def _export(place: Instance, run: str) -> str:
    from triggers.reading import open_run_reader

    async with open_run_reader(place) as source:
        return await source.export_run(run)


def cancel(
    run: RunId,
    reason: Annotated[str | None, typer.Option(help="Why, for those who read it.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Ask a run to end."""
    from triggers.commands.output import print_json
    from triggers.reading import connect_service

    async def ask() -> Document:
        async with connect_service(Instance(config, data, os.environ)) as running:
            if running is None:
                raise no_service(data)
            return await running.cancel(run, reason)

    answer = asyncio.run(ask())
    print_json(answer) if as_json else typer.echo(f"{run} is {answer['status']}")


# -- starting ---------------------------------------------------------------------------------------------------


def _inputs(whole: str | None, pairs: Sequence[str]) -> Document:
    """The inputs of `--inputs`, with those of `--input` put over them."""
    inputs = parse_json_object(whole, "--inputs") if whole is not None else {}
    return inputs | parse_named_values(pairs, "--input")


async def _start_detached(place: Instance, pipeline: str, inputs: Document, pairs: Sequence[str]) -> Document:
    from triggers.reading import connect_service

    async with connect_service(place) as running:
        if running is None:
            raise no_service(place.data)
        return await _start(running, pipeline, inputs, pairs)


async def _start_and_follow(
    place: Instance, pipeline: str, inputs: Document, pairs: Sequence[str], *, is_quiet: bool
) -> "Followed":
    from rich.console import Console

    from triggers.commands.follow import follow, open_view
    from triggers.commands.output import console
    from triggers.reading import connect_service
    from triggers.signals import watch_stop_signals

    stopping = watch_stop_signals()
    async with contextlib.AsyncExitStack() as stack:
        found = await stack.enter_async_context(connect_service(place))
        running = found if found else await stack.enter_async_context(_own_service(place))
        started = await _start(running, pipeline, inputs, pairs)
        with open_view(Console(quiet=True) if is_quiet else console(err=True)) as shown:
            followed = await follow(running, started["id"], stopping, shown)
        if not followed.is_over:
            _print_left_behind(started["id"], None if found else place.data)
        return followed


def _own_service(place: Instance) -> "contextlib.AbstractAsyncContextManager[OverApi]":
    from triggers.commands.own_service import own_service

    return own_service(place)


async def _start(running: "OverApi", pipeline: str, inputs: Document, pairs: Sequence[str]) -> Document:
    """The run as the service began it; a pipeline that cannot run is explained, and so is an input that is no text."""
    from durable.wording import suggest
    from triggers.reading import Refused

    try:
        return await running.start(pipeline, inputs)
    except Refused as refused:
        if refused.status != 404:
            raise _with_texts(refused, pairs) from None
    known = {each["id"]: each for each in await running.pipelines()}
    if pipeline in known:
        why = "; ".join(known[pipeline]["problems"]) or "it is disabled"
        raise CommandFailed(f"the pipeline {pipeline} cannot run: {why}")
    hint = suggest(pipeline, known) or "`waypost pipelines` lists them"
    raise CommandFailed(f"there is no pipeline {pipeline!r}; {hint}")


def _with_texts(refused: "Refused", pairs: Sequence[str]) -> Exception:
    """The refusal, with how to give a text where one of `--input` was taken for other JSON."""
    problems = (problem.partition(": ") for problem in f"; {refused}".split("; inputs."))
    hint = suggest_quotes(pairs, "--input", [name for name, _, detail in problems if wants_text(detail)])
    return CommandFailed(f"{refused}; {hint}") if hint else refused


# -- ending -----------------------------------------------------------------------------------------------------


def _print_left_behind(run: str, data: Path | None) -> None:
    """Say at once that a run goes on without its follower; `data`: where its service was here, and ends now."""
    from triggers.commands.output import console

    if data is None:
        line = f"{run} goes on: `waypost show {run}` tells how far it is, `waypost cancel {run}` ends it"
    else:
        line = f"{run} goes on when a service works on {data} again; another Ctrl-C does not wait for its step"
    console(err=True).print(line, soft_wrap=True)


def _print_end(followed: "Followed", *, is_quiet: bool) -> None:
    """Say what became of the run, and exit with 1 unless it is completed."""
    from triggers.commands.output import console, print_value
    from triggers.commands.show import error_line

    told, say = followed.told, console(err=True)
    run, status = told["id"], told["status"]
    if status == "completed" and not is_quiet and told["outputs"] is not None:
        print_value(console(), told["outputs"])
    elif status == "failed":
        why = error_line(told["error"], with_step=True) if told["error"] else "nobody said why"
        say.print(f"{run} failed: {why}; `waypost show {run}` tells all of it", style="red", soft_wrap=True)
    elif status != "completed" and followed.is_over:
        why = told["reason"] or "nobody said why"
        say.print(f"{run} is {status}: {why}; `waypost show {run}` tells all of it", style="yellow", soft_wrap=True)
    if status != "completed":
        raise typer.Exit(FAILED)
