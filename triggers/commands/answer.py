"""`waypost answer`: answer what a step waits for."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from triggers.commands.ask import ask_service_about
from triggers.commands.failure import CommandFailed
from triggers.commands.output import print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, RunId, StepPath
from triggers.commands.parse_values import parse_json, parse_named_values, suggest_quotes, wants_text
from triggers.documents.runs import TakenDocument
from triggers.reading.client import InvalidField, ServiceClient, ServiceRefused

OPTIONS = {"name": "--name", "comment": "--comment", "data": "--value", "fields": "--field"}
"""The option that gives each part of an answer."""

Field = Annotated[
    list[str] | None, typer.Option("--field", metavar="NAME=VALUE", help="A field of the form; repeatable.")
]


def answer(
    run: RunId,
    step: StepPath,
    name: Annotated[str | None, typer.Option(help="The name of the wait, for a `wait.any`.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject.")] = False,
    value: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="The request body, for a `wait.webhook`.")
    ] = None,
    comment: Annotated[str | None, typer.Option(help="The reason, shown with the run.")] = None,
    field: Field = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if approve and reject:
        raise typer.BadParameter("use either --approve or --reject", param_hint="'--approve'")
    options = {
        "name": name,
        "approved": approve if approve or reject else None,
        "comment": comment,
        "fields": parse_named_values(field, "--field") if field else None,
    }
    body = {"step": step} | {key: each for key, each in options.items() if each is not None}
    if value is not None:
        body["data"] = parse_json(value, "--value")
    answered = ask_service_about(config, data, run, lambda service, run: _answer(service, run, body, field or ()))
    print_json(answered) if as_json else typer.echo(f"answered; {answered.id} is {answered.status}")


async def _answer(service: ServiceClient, run: str, body: dict[str, Any], pairs: Sequence[str]) -> TakenDocument:
    """Answer; what does not fit is explained by the command's options."""
    try:
        return await service.answer_run(run, body)
    except ServiceRefused as refused:
        if not refused.invalid:
            raise
        problems = [_explain_field(field, body) for field in refused.invalid]
        texts = [field.name.removeprefix("fields.") for field in refused.invalid if wants_text(field.detail)]
        hint = suggest_quotes(pairs, "--field", texts)
        raise CommandFailed("; ".join([*problems, *([hint] if hint else [])])) from None


def _explain_field(invalid: InvalidField, body: dict[str, Any]) -> str:
    """What is wrong, named by the option that gives it."""
    part, _, field = invalid.name.partition(".")
    if part == "approved":
        given = "--approve" if body.get("approved") else "--reject"
        return f"`{given}`: {invalid.detail}" if "approved" in body else "add `--approve` or `--reject`"
    option = OPTIONS.get(part, part)
    return f"`{option} {field}=VALUE`: {invalid.detail}" if field else f"`{option}`: {invalid.detail}"
