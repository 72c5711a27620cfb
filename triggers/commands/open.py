"""`waypost open`: sign in to the dashboard of the running service, in a browser on this machine."""

from typing import Annotated

import typer

from triggers.commands.ask import ask_service
from triggers.commands.parameters import CONFIG, DATA, Config, Data


def open(
    is_printed: Annotated[bool, typer.Option("--print", help="Only print the link.")] = False,
    config: Config = CONFIG,
    data: Data = DATA,
) -> None:
    link = ask_service(config, data, lambda service: service.create_enter_link())
    typer.echo(link.url)
    if not is_printed:
        typer.echo("This link signs in once, within 10 minutes.", err=True)
        typer.launch(link.url)
