"""Commands about the service: begin a config folder, serve, examine what a service stands on, tell the version."""

# ruff: noqa: PLC0415  # what a command does not need, it does not import

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from triggers.commands.failure import FAILED, NOT_READY, WRONG_USE, CommandFailed
from triggers.commands.options import CONFIG, DATA, AsJson, Config, Data
from triggers.instance import Instance

Answer = TypeVar("Answer")

EXAMPLE_NEEDS = "WAYPOST_SECRET_DEMO=demo-secret WAYPOST_EGRESS_ALLOW=127.0.0.0/8"
"""What the starter's example calls for."""


def init(config: Config = CONFIG) -> None:
    """Write a config folder to begin with."""
    from triggers.starter import write_starter

    try:
        written = write_starter(config)
    except FileExistsError:
        raise CommandFailed(
            f"{_standing(config)}; nothing was written: name another folder with --config, or serve this one"
        ) from None
    option = "" if config == CONFIG else f" --config {config}"
    typer.echo(f"Wrote {config}:")
    for path in written:
        typer.echo(f"  {path.relative_to(config)}")
    typer.echo("Next:")
    typer.echo(f"  waypost validate{option}    # checks the pipelines")
    typer.echo(f"  {EXAMPLE_NEEDS} waypost serve{option}")


def _standing(config: Path) -> str:
    if not config.is_dir():
        return f"{config} is a file"
    return f"{config} holds {', '.join(sorted(path.name for path in config.iterdir()))}"


def serve(
    config: Config = CONFIG,
    data: Data = DATA,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; default 8400.")] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from triggers import logs
    from triggers.commands.announce import announce
    from triggers.service import serve as serve_until_told
    from triggers.settings import Settings
    from triggers.starter import write_starter

    if not config.exists():
        if config != CONFIG:
            raise CommandFailed(
                f"there is no config folder {config}: `waypost init --config {config}` writes one", WRONG_USE
            )
        write_starter(config)
        typer.echo(f"There was no config folder: wrote one to {config}")
    given = {"host": host, "port": port}
    settings = Settings.load(config, os.environ, {name: value for name, value in given.items() if value is not None})
    try:
        run_on_uvloop(serve_until_told(settings, Instance(config, data, os.environ), announce=announce))
    except OSError as error:
        if error.filename:
            what = f"{error.filename}: {error.strerror}; mend that, or choose another data folder with --data"
        else:
            reason = error.strerror or error
            what = f"cannot listen on {settings.host} port {settings.port}: {reason}; choose others with --host, --port"
        raise CommandFailed(what, NOT_READY) from None
    finally:
        logs.flush()


def doctor(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    """Examine what a service stands on, and say what to mend."""
    from triggers.commands.doctor import print_results, run_checks
    from triggers.commands.output import console, print_json

    findings = asyncio.run(run_checks(Instance(config, data, os.environ)))
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        print_results(console(), findings)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(FAILED)


def version(as_json: AsJson = False) -> None:
    """Tell the versions of Waypost and of what it stands on."""
    import platform
    import sqlite3

    from durable import __version__
    from triggers.commands.output import print_json

    versions = {"waypost": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    if as_json:
        print_json(versions)
        return
    for name, each in versions.items():
        typer.echo(f"{name} {each}")


def run_on_uvloop(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a service's loop, on uvloop where it is installed."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
