"""`waypost serve`: serve until SIGTERM or Ctrl-C."""

import os
from typing import Annotated

import typer

from triggers import logs
from triggers.commands.announce import announce
from triggers.commands.event_loop import run_on_uvloop
from triggers.commands.failure import NOT_READY, WRONG_USE, CommandFailed
from triggers.commands.parameters import CONFIG, DATA, Config, Data
from triggers.instance import Instance
from triggers.service import serve as serve_until_stopped
from triggers.settings import Settings
from triggers.starter import write_starter


def serve(
    config: Config = CONFIG,
    data: Data = DATA,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; default 8400.")] = None,
) -> None:
    if not config.exists():
        if config != CONFIG:
            raise CommandFailed(
                f"there is no config folder {config}: create one with `waypost init --config {config}`", WRONG_USE
            )
        write_starter(config)
        typer.echo(f"There was no config folder; wrote an example to {config}")
    options = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = Settings.load(config, os.environ, options)
    try:
        run_on_uvloop(serve_until_stopped(settings, Instance(config, data, os.environ), announce=announce))
    except OSError as error:
        if error.filename:
            what = f"{error.filename}: {error.strerror}; fix this, or choose another data folder with --data"
        else:
            reason = error.strerror or error
            what = (
                f"cannot listen on {settings.host} port {settings.port}: {reason}; choose another with --host or --port"
            )
        raise CommandFailed(what, NOT_READY) from None
    finally:
        logs.flush()
