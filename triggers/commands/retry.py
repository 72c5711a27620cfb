"""`waypost retry`: let a failed run go on from where it failed."""

from typing import Annotated

import typer
from rich.console import Console

from triggers.commands.ask import ask_service_about
from triggers.commands.follow import FollowedRun, follow, open_view, print_end, print_left_behind
from triggers.commands.output import open_console, print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, RunId
from triggers.reading.client import ServiceClient
from triggers.signals import watch_stop_signals


def retry(
    run: RunId,
    reason: Annotated[str | None, typer.Option(help="The reason, for people who read the run.")] = None,
    is_followed: Annotated[bool, typer.Option("--follow", help="Show the run as it goes on, until it ends.")] = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if not is_followed:
        retried = ask_service_about(config, data, run, lambda service, run: service.retry_run(run, reason))
        print_json(retried) if as_json else typer.echo(f"retried; {retried.id} is {retried.status}")
        return
    followed = ask_service_about(
        config, data, run, lambda service, run: _retry_and_follow(service, run, reason, is_quiet=as_json)
    )
    if as_json:
        print_json(followed.run)
    print_end(followed, is_quiet=as_json)


async def _retry_and_follow(service: ServiceClient, run: str, reason: str | None, *, is_quiet: bool) -> FollowedRun:
    stopping = watch_stop_signals()
    await service.retry_run(run, reason)
    with open_view(Console(quiet=True) if is_quiet else open_console(err=True)) as view:
        followed = await follow(service, run, stopping, view)
    if not followed.is_over:
        print_left_behind(run, None)
    return followed
