"""`waypost cancel`: ask a run to end, or every run that matches."""

import typer

from triggers.commands.ask import ask_service_about
from triggers.commands.many import act_on_many
from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, Reason, RunId


@act_on_many("cancel")
def cancel(
    run: RunId,
    reason: Reason = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    cancelled = ask_service_about(config, data, run, lambda service, run: service.cancel_run(run, reason))
    print_json(cancelled) if as_json else typer.echo(f"{cancelled.id} is {cancelled.status}")
