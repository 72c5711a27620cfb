"""The options that commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

Config = Annotated[Path, typer.Option("--config", envvar="WAYPOST_CONFIG", help="The config folder.")]
Data = Annotated[Path, typer.Option("--data", envvar="WAYPOST_DATA", help="The data folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Word = TypeVar("Word", bound=str)

CONFIG, DATA = Path("config"), Path(".waypost")


def parse_choice(known: Sequence[Word], given: str | None, option: str) -> Word | None:
    """The known word that was given for an option; raises `typer.BadParameter` for any other."""
    if given is None:
        return None
    for word in known:
        if word == given:
            return word
    raise typer.BadParameter(f"{given!r} is none of {', '.join(known)}", param_hint=f"'{option}'")
