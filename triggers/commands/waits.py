"""Commands about waits: what runs wait for, and what a person says to it."""

# ruff: noqa: PLC0415  # what a command does not need, it does not import

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from triggers.commands.arguments import RunId
from triggers.commands.completion import run_ids
from triggers.commands.failure import CommandFailed, no_service
from triggers.commands.options import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.parse_values import parse_json, parse_named_values, suggest_quotes, wants_text
from triggers.instance import Instance

if TYPE_CHECKING:
    from triggers.reading import Mistake, OverApi

Document: TypeAlias = dict[str, Any]

StepPath = Annotated[str, typer.Argument(help="The step's path, as `waypost show` tells it.")]
Why = Annotated[str | None, typer.Option("--reason", help="How that is known, for those who read it.")]

OPTIONS = {"name": "--name", "comment": "--comment", "data": "--value", "fields": "--field"}
"""What gives each part of an answer."""


def waits(
    run: Annotated[str | None, typer.Argument(help="Only this run.", autocompletion=run_ids)] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person, an answer or an event, and what to do next."""
    from triggers.commands.next_steps import print_waits
    from triggers.commands.output import console, print_json
    from triggers.reading import open_run_reader

    async def ask() -> tuple[list[Document], str | None]:
        async with open_run_reader(Instance(config, data, os.environ)) as source:
            return await source.waits(run), source.url

    found, here = asyncio.run(ask())
    print_json(found) if as_json else print_waits(console(), found, here)


def answer(
    run: RunId,
    step: StepPath,
    name: Annotated[str | None, typer.Option(help="Which of the waits of a `wait.any`.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject.")] = False,
    value: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="What comes to a wait for a webhook, as its body.")
    ] = None,
    comment: Annotated[str | None, typer.Option(help="Why, for those who read it.")] = None,
    field: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What is to be filled in; repeatable.")
    ] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Answer what a step waits for."""
    said: Document = {"step": step}
    if approve and reject:
        raise typer.BadParameter("approve or reject, not both", param_hint="'--approve'")
    given = {
        "name": name,
        "approved": approve if approve or reject else None,
        "comment": comment,
        "fields": parse_named_values(field, "--field") if field else None,
    }
    said |= {key: each for key, each in given.items() if each is not None}
    if value is not None:
        said["data"] = parse_json(value, "--value")
    _send(config, data, lambda running: _answer(running, run, said, field or ()), "answered", as_json=as_json)


async def _answer(running: "OverApi", run: str, said: Document, pairs: Sequence[str]) -> Document:
    """Answer; what does not fit is told by the command's options."""
    from triggers.reading import Refused

    try:
        return await running.answer(run, said)
    except Refused as refused:
        if not refused.mistakes:
            raise
        told = [_explain_field(mistake, said) for mistake in refused.mistakes]
        texts = [mistake.name.removeprefix("fields.") for mistake in refused.mistakes if wants_text(mistake.detail)]
        hint = suggest_quotes(pairs, "--field", texts)
        raise CommandFailed("; ".join([*told, *([hint] if hint else [])])) from None


def _explain_field(mistake: "Mistake", said: Document) -> str:
    """A mistake by the option that gives what is wrong."""
    part, _, field = mistake.name.partition(".")
    if part == "approved":
        given = "--approve" if said.get("approved") else "--reject"
        return f"`{given}`: {mistake.detail}" if "approved" in said else "say `--approve` or `--reject`"
    option = OPTIONS.get(part, part)
    return f"`{option} {field}=VALUE`: {mistake.detail}" if field else f"`{option}`: {mistake.detail}"


def resolve(
    run: RunId,
    step: StepPath,
    completed: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="It happened; this is its output.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="It did not happen; attempt it again.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="It failed for good.")] = False,
    reason: Why = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Say what became of a step that is uncertain, or has used up its attempts."""
    verdicts = [
        name for name, is_it in (("completed", completed is not None), ("retry", retry), ("failed", failed)) if is_it
    ]
    if len(verdicts) != 1:
        raise typer.BadParameter("say one of --completed JSON, --retry, --failed", param_hint="'--completed'")
    said: Document = {"step": step, "verdict": verdicts[0]} | ({"reason": reason} if reason is not None else {})
    if completed is not None:
        said["output"] = parse_json(completed, "--completed")
    _send(config, data, lambda running: running.resolve(run, said), "resolved", as_json=as_json)


def resume(run: RunId, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    """Let a paused run go on."""
    _send(config, data, lambda running: running.resume(run), "resumed", as_json=as_json)


def _send(
    config: Path, data: Path, say: "Callable[[OverApi], Awaitable[Document]]", what: str, *, as_json: bool
) -> None:
    """Say something to a run over the running service, and tell what the run is then."""
    from triggers.commands.output import print_json
    from triggers.reading import connect_service

    async def ask() -> Document:
        async with connect_service(Instance(config, data, os.environ)) as running:
            if running is None:
                raise no_service(data)
            return await say(running)

    told = asyncio.run(ask())
    print_json(told) if as_json else typer.echo(f"{what}; {told['id']} is {told['status']}")
