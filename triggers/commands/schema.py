"""`waypost schema`: the JSON Schema of pipeline files, or of connector files, for editors."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from durable.wording import suggest
from triggers.commands.learn import load_known_connectors
from triggers.commands.parameters import CONFIG, DATA, Config, Data
from triggers.config.connector_files import find_form, list_forms
from triggers.config.schema import schema_text
from triggers.config.unread import CONNECTORS, PIPELINES
from triggers.instance import Instance

Output = Annotated[Path | None, typer.Option("--output", help="Write the schema to this file.")]
Form = Annotated[
    str | None,
    typer.Option("--form", help="The schema of connector files in this form, such as yaml, instead of pipelines."),
]


def schema(output: Output = None, form: Form = None, config: Config = CONFIG, data: Data = DATA) -> None:
    text = _make_form_schema(form) if form else schema_text(load_known_connectors(Instance(config, data, os.environ)))
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    folder, what = (CONNECTORS, "connector") if form else (PIPELINES, "pipeline")
    place = Path(os.path.relpath(output, config / folder)).as_posix()
    typer.echo(f"Wrote {output}. An editor completes and checks a {what} file that begins with this line:")
    typer.echo(f"# yaml-language-server: $schema={place}")


def _make_form_schema(form: str) -> str:
    names = list_forms()
    if form not in names:
        hint = suggest(form, names)
        raise typer.BadParameter(f"no form of connectors is named {form!r}{f'; {hint}' if hint else ''}")
    found = find_form(form).make_schema()
    if found is None:
        raise typer.BadParameter(f"there is no schema of the form {form!r}")
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
