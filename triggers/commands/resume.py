"""`waypost resume`: let a paused run go on."""

import typer

from triggers.commands.ask import ask_service_about
from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, Reason, RunId


def resume(
    run: RunId,
    reason: Reason = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    resumed = ask_service_about(config, data, run, lambda service, run: service.resume_run(run, reason))
    print_json(resumed) if as_json else typer.echo(f"resumed; {resumed.id} is {resumed.status}")
