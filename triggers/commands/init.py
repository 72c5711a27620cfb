"""`waypost init`: write a config folder to begin with."""

from pathlib import Path

import typer

from triggers.commands.failure import CommandFailed
from triggers.commands.parameters import CONFIG, Config
from triggers.starter import write_starter

EXAMPLE_NEEDS = "WAYPOST_SECRET_DEMO=demo-secret WAYPOST_EGRESS_ALLOW=127.0.0.0/8"
"""The settings that the starter's example needs."""


def init(config: Config = CONFIG) -> None:
    try:
        written = write_starter(config)
    except FileExistsError:
        raise CommandFailed(
            f"{_describe_folder(config)}; nothing was written: choose another folder with --config, or serve this one"
        ) from None
    option = "" if config == CONFIG else f" --config {config}"
    typer.echo(f"Wrote {config}:")
    for path in written:
        typer.echo(f"  {path.relative_to(config)}")
    typer.echo("Next:")
    typer.echo(f"  waypost validate{option}    # checks the pipelines")
    typer.echo(f"  {EXAMPLE_NEEDS} waypost serve{option}")


def _describe_folder(config: Path) -> str:
    if not config.is_dir():
        return f"{config} is a file"
    return f"{config} contains {', '.join(sorted(path.name for path in config.iterdir()))}"
