"""Commands about pipelines: check them, see what they would change, list them and what they can use."""

# ruff: noqa: PLC0415  # what a command does not need, it does not import

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from triggers.commands.failure import FAILED
from triggers.commands.options import CONFIG, DATA, AsJson, Config, Data
from triggers.instance import Instance

Files = Annotated[list[Path] | None, typer.Argument(help="Only these files; default: every one of the config folder.")]
Output = Annotated[Path | None, typer.Option("--output", help="Write it to this file.")]
Name = Annotated[str | None, typer.Argument(help="A connector, or one action of it.", metavar="[NAME[.ACTION]]")]


def validate(files: Files = None, config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Check pipeline files and connections.yaml without running anything."""
    from triggers.commands.output import console, print_json
    from triggers.commands.problems import is_github_action, print_problems, to_annotations, to_json
    from triggers.commands.validate import check_config

    found = check_config(files, config, os.environ)
    if as_json:
        print_json(to_json(found.files))
    else:
        if is_github_action():
            for line in to_annotations(found.files, os.environ):
                typer.echo(line)
        else:
            print_problems(found.files, console())
        typer.echo(found.summary())
    if not found.is_valid:
        raise typer.Exit(FAILED)


def plan(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    """Tell what the config folder would change in the running service."""
    from triggers.commands.output import console, print_json
    from triggers.commands.plan import make_plan as planned
    from triggers.commands.plan import print_plan
    from triggers.commands.problems import print_problems, reword_for_shell
    from triggers.commands.validate import check_config

    found = check_config(None, config, os.environ)
    url, served = asyncio.run(_list_served(Instance(config, data, os.environ)))
    made = planned([file.described() for file in found.pipelines], served or [])
    if as_json:
        told = [str(reword_for_shell(each)) for each in found.connections.problems] if found.connections else []
        unread = [str(problem) for problem in found.unread.problems]
        print_json({"service": url, **made.described(), "connections": told, "unread": unread})
    else:
        out = console()
        against = f"the service at {url}" if url else f"no service, since none works on {data}: everything is new"
        out.print(f"{config} against {against}", soft_wrap=True)
        print_plan(out, made)
        print_problems((file for file in found.files if not file.is_valid or file is found.unread), out)
    if not found.is_valid:
        raise typer.Exit(FAILED)


def pipelines(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    """List pipelines: of the running service, or of the config folder."""
    from triggers.commands.output import console, print_json
    from triggers.commands.roster import print_pipelines

    _, served = asyncio.run(_list_served(Instance(config, data, os.environ)))
    found = _list_files(config) if served is None else served
    print_json(found) if as_json else print_pipelines(console(), found)


def connectors(name: Name = None, config: Config = CONFIG, as_json: AsJson = False) -> None:
    """List the installed connectors, one connector's actions and connections, or one action's inputs."""
    from durable.secrets import Secrets
    from triggers.catalogue import find_connectors, load_connectors
    from triggers.commands.connectors import find_offers, print_connections, print_installed, print_offer, print_offers
    from triggers.commands.output import console, print_json
    from triggers.commands.problems import print_problems
    from triggers.connections import Connections

    if name is None and not as_json:
        print_installed(console(), find_connectors())
        return
    connectors = load_connectors()
    found = find_offers(connectors, name)
    known = Connections(config, connectors, Secrets(os.environ))
    if as_json:
        print_json([offer.described() | {"connections": [*known.of(offer.connector)]} for offer in found])
    elif found[0].use == name:
        print_offer(console(), found[0])
    else:
        print_offers(console(), found)
        print_connections(console(), found, known)
        print_problems([known], console(err=True))


def schema(output: Output = None, config: Config = CONFIG) -> None:
    """Print the JSON Schema of pipeline files, for editors."""
    from triggers.catalogue import load_connectors
    from triggers.schema import schema_text

    text = schema_text(load_connectors())
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    place = Path(os.path.relpath(output, config / "pipelines")).as_posix()
    typer.echo(f"Wrote {output}. An editor completes and checks a pipeline file that begins with this line:")
    typer.echo(f"# yaml-language-server: $schema={place}")


def _list_files(config: Path) -> list[dict[str, Any]]:
    from triggers.commands.files import describe_files, load_folder

    return describe_files(load_folder(config, os.environ))


async def _list_served(place: Instance) -> tuple[str | None, list[dict[str, Any]] | None]:
    """Where the running service listens and what it serves; None without one."""
    from triggers.reading import connect_service

    async with connect_service(place) as running:
        return (running.url, await running.pipelines()) if running else (None, None)
