"""`waypost resolve`: decide a step that is uncertain, or has used up its attempts."""

from typing import Annotated, Any

import typer

from triggers.commands.ask import ask_service_about
from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, RunId, StepPath
from triggers.commands.parse_values import parse_json


def resolve(
    run: RunId,
    step: StepPath,
    completed: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="The step happened; this is its output.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="The step did not happen; try it again.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="The step failed.")] = False,
    reason: Annotated[str | None, typer.Option(help="How you know, shown with the run.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    options = {"completed": completed is not None, "retry": retry, "failed": failed}
    verdicts = [name for name, is_given in options.items() if is_given]
    if len(verdicts) != 1:
        raise typer.BadParameter("use one of --completed JSON, --retry and --failed", param_hint="'--completed'")
    body: dict[str, Any] = {"step": step, "verdict": verdicts[0]}
    if reason is not None:
        body["reason"] = reason
    if completed is not None:
        body["output"] = parse_json(completed, "--completed")
    resolved = ask_service_about(config, data, run, lambda service, run: service.resolve_step(run, body))
    print_json(resolved) if as_json else typer.echo(f"resolved; {resolved.id} is {resolved.status}")
