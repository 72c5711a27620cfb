"""`waypost fork`: start a run from a step of another with its checkpoints, or from the start with other inputs."""

from typing import Annotated, Any

import typer

from durable.wording import count_things, make_printable
from triggers.commands.ask import ask_service_about
from triggers.commands.follow_repeat import Follow, follow_repeat
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, Reason, RunId
from triggers.commands.parse_values import parse_json_object, parse_named_values
from triggers.documents.starts import RepeatedDocument

Step = Annotated[
    str | None,
    typer.Option("--step", metavar="PATH", help="The step from which the new run continues; default: the start."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Replace a value of the step's recorded input (without --step: of the run's inputs), as JSON or text; "
        "repeatable.",
    ),
]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON|@FILE", help="The whole input of the step; @- reads standard input."),
]
Inputs = Annotated[
    str | None,
    typer.Option("--inputs", metavar="JSON|@FILE", help="All inputs of the run, for a fork from the start."),
]
Newest = Annotated[bool, typer.Option("--newest", help="Run on the newest version; default: the version of the run.")]


def fork(
    run: RunId,
    step: Step = None,
    changes: Changes = None,
    input: Input = None,
    inputs: Inputs = None,
    newest: Newest = False,
    reason: Reason = None,
    is_followed: Follow = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if input is not None and step is None:
        raise typer.BadParameter(
            "name the step with --step, or use --inputs for the inputs of the run", param_hint="'--input'"
        )
    if inputs is not None and step is not None:
        raise typer.BadParameter(
            "it cannot be used with --step; use --input for the input of the step", param_hint="'--inputs'"
        )
    body: dict[str, Any] = {"step": step, "newest": newest, "reason": reason}
    if changes:
        body["set"] = parse_named_values(changes, "--set")
    if input is not None:
        body["input"] = parse_json_object(input, "--input")
    if inputs is not None:
        body["inputs"] = parse_json_object(inputs, "--inputs")
    ask_service_about(
        config,
        data,
        run,
        lambda service, run: follow_repeat(
            service,
            lambda: service.fork_run(run, body),
            lambda repeated: _describe_fork(repeated, step),
            is_followed=is_followed,
            as_json=as_json,
        ),
    )


def _describe_fork(repeated: RepeatedDocument, step: str | None) -> str:
    start = f"continues from {step}, with {count_things(repeated.copied, 'checkpoint')}" if step else "from the start"
    again = f"; performed again beside it: {', '.join(repeated.again)}" if repeated.again else ""
    return make_printable(f"version {repeated.version[:12]}, {start}{again}")
