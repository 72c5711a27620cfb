"""`waypost retry`: let a failed run go on from where it failed, or every one that matches."""

from typing import Annotated

import typer

from triggers.commands.ask import ask_service_about
from triggers.commands.follow import FollowedRun, follow_to_end, print_end
from triggers.commands.many import act_on_many
from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, Reason, RunId
from triggers.reading.client import ServiceClient
from triggers.signals import watch_stop_signals


@act_on_many("retry")
def retry(
    run: RunId,
    reason: Reason = None,
    is_followed: Annotated[bool, typer.Option("--follow", help="Follow the run until it ends.")] = False,
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
    return await follow_to_end(service, run, stopping, is_quiet=is_quiet)
