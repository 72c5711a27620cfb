"""The command line: every command, the options before them, and how the process ends.

Exit codes: 0 fine, 1 failed, 2 wrong use, 3 not ready (another process holds the data folder, the address is taken,
nobody answers). What a command needs, it imports itself, so that `waypost --help` is there at once.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from durable import __version__
from triggers.commands import events, failure, keys, pipelines, runs, schedules, service, waits

app = typer.Typer(
    name="waypost",
    help="Webhook automation whose every step survives kill -9.",
    epilog="Exit codes: 0 fine, 1 failed, 2 wrong use, 3 not ready.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

COMMANDS = (
    service.init,
    service.serve,
    pipelines.validate,
    pipelines.plan,
    runs.run,
    runs.runs,
    runs.show,
    runs.history,
    runs.cancel,
    waits.waits,
    waits.answer,
    waits.resolve,
    waits.resume,
    events.emit,
    events.deliveries,
    pipelines.pipelines,
    schedules.schedules,
    pipelines.connectors,
    pipelines.schema,
    service.doctor,
    service.version,
)
"""In the order in which `--help` lists them; a command is called as its function is."""

for command in COMMANDS:
    app.command()(command)
app.add_typer(keys.app, name="keys")


def main() -> None:
    """The `waypost` command."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 shows what it cannot as \u…
    try:
        app(args=_decode_arguments(sys.argv[1:]), prog_name="waypost")
    except Exception as error:  # noqa: BLE001  # the last place where a failure can become a message
        failure.exit_with(error)


def _open_standard_streams() -> None:
    """Open those that the caller closed (`>&-`, a daemon without them) on the null device. A socket or the database
    that took such a number would be written to as if it were the log, and uvloop aborts the process at its end."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the least number that is free


def _decode_arguments(given: Sequence[str]) -> list[str]:
    """The arguments as the texts that they are in UTF-8, whatever the locale; raises `CommandFailed`."""
    arguments: list[str] = []
    for number, argument in enumerate(given, 1):
        try:
            arguments.append(os.fsencode(argument).decode("utf-8"))
        except UnicodeError:
            shown = argument.encode("ascii", "backslashreplace").decode()[:80]
            what = (
                f"argument {number} ({shown}) is not UTF-8 text: write it in UTF-8; `waypost --help` lists the commands"
            )
            raise failure.CommandFailed(what, failure.WRONG_USE) from None
    return arguments


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"waypost {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
