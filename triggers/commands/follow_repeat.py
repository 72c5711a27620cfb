"""What `rerun` and `fork` have in common: start the new run, say what it is, and follow it if that is asked for."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from triggers.commands.follow import follow_to_end, print_end
from triggers.commands.output import print_json
from triggers.documents.starts import RepeatedDocument
from triggers.reading.client import ServiceClient
from triggers.signals import watch_stop_signals

Follow = Annotated[bool, typer.Option("--follow", help="Follow the new run until it ends.")]


async def follow_repeat(
    service: ServiceClient,
    start: Callable[[], Awaitable[RepeatedDocument]],
    describe: Callable[[RepeatedDocument], str],
    *,
    is_followed: bool,
    as_json: bool,
) -> None:
    """Start a run that repeats another, and print its id with a description, or follow it to its end."""
    stopping = watch_stop_signals() if is_followed else None
    repeated = await start()
    if stopping is None:
        print_json(repeated) if as_json else typer.echo(f"{repeated.id}  {describe(repeated)}")
    else:
        typer.echo(f"{repeated.id}  {describe(repeated)}", err=True)
    if repeated.hint:
        typer.echo(repeated.hint, err=True)
    if stopping is None:
        return
    followed = await follow_to_end(service, repeated.id, stopping, is_quiet=as_json)
    if as_json:
        print_json(followed.run)
    print_end(followed, is_quiet=as_json)
