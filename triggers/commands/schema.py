"""`waypost schema`: the JSON Schema of pipeline files, for editors."""

import os
from pathlib import Path
from typing import Annotated

import typer

from triggers.commands.parameters import CONFIG, Config
from triggers.config.catalogue import load_connectors
from triggers.config.schema import schema_text

Output = Annotated[Path | None, typer.Option("--output", help="Write the schema to this file.")]


def schema(output: Output = None, config: Config = CONFIG) -> None:
    text = schema_text(load_connectors(config))
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    place = Path(os.path.relpath(output, config / "pipelines")).as_posix()
    typer.echo(f"Wrote {output}. An editor completes and checks a pipeline file that begins with this line:")
    typer.echo(f"# yaml-language-server: $schema={place}")
