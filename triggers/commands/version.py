"""`waypost version`: the versions of Waypost and of what it runs on."""

import platform
import sqlite3

import typer

from durable import __version__
from triggers.commands.output import print_json
from triggers.commands.parameters import AsJson


def version(as_json: AsJson = False) -> None:
    versions = {"waypost": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    if as_json:
        print_json(versions)
        return
    for name, each in versions.items():
        typer.echo(f"{name} {each}")
