"""The command line: the table of commands, the options before them, and how the process ends.

Exit codes: 0 fine, 1 failed, 2 wrong use, 3 not ready (another process holds the data folder, the address is taken,
no service answers). Only the module of the command that runs is imported, so that `waypost --help` is there at once.
"""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from durable import __version__
from durable.lazy import load_module
from triggers.commands import failure

COMMANDS: Mapping[str, str] = {
    "init": "Write an example config folder.",
    "serve": "Run the service until SIGTERM or Ctrl-C.",
    "open": "Open the dashboard of the running service in a browser, signed in.",
    "validate": "Check pipeline files and connections.yaml without running anything.",
    "plan": "Show what the config folder would change in the running service.",
    "top": "Show on one screen how the service does, and what needs you; q ends it.",
    "run": "Start a run and follow it until it ends.",
    "runs": "List runs, newest first.",
    "errors": "List the kinds of failures, newest first, with the number of runs of each.",
    "show": "Show one run: its status and the reason, the next commands, its values and steps.",
    "history": "Show a run's history, entry by entry.",
    "cancel": "Cancel a run, or with --all every run that matches the filters.",
    "retry": "Continue a failed run from where it failed; with --all, every run that matches.",
    "rerun": "Run the event of a run again on the newest version; with --all, of every run that matches.",
    "fork": "Start a new run from a step of another run, or from the start with other inputs.",
    "waits": "List what runs are waiting for, with the commands that answer.",
    "answer": "Answer a waiting step.",
    "resolve": "Decide the outcome of a step that is uncertain or has no attempts left.",
    "resume": "Resume a paused run.",
    "emit": "Send an event to pipelines and waiting steps.",
    "audit": "List who did what, newest first: cancels, answers, changes of keys and secrets, sign-ins.",
    "deliveries": "List requests to webhooks and their outcomes, newest first.",
    "delivery": "Show one delivery: its request, its outcome, and the next commands.",
    "replay": "Process deliveries again as new runs; with --all, every delivery that matches.",
    "listen": "Show deliveries, runs and unknown paths live, as they arrive.",
    "send": "Sign a body as its sender would, and send it to a webhook.",
    "pipelines": "List the pipelines of the running service or of the config folder.",
    "bulk": "List, show, follow, stop and resume bulks, which --all creates.",
    "versions": "List the versions of a pipeline, or show how two differ.",
    "schedules": "List schedules with their last fire and its run, the next fire, and missed fires.",
    "connectors": "List the connectors, and where each comes from.",
    "connector": "Create a connector, document one with its actions, or check one.",
    "connections": "List connections with their states; test one, or log it in or out.",
    "schema": "Print the JSON Schema of pipeline or connector files, for editors.",
    "doctor": "Check what a service depends on, and say what to fix.",
    "backup": "Copy the journal into a file, even while the service runs.",
    "restore": "Put a backup into a data folder.",
    "version": "Print the versions of Waypost, Python and SQLite.",
    "keys": "Create, list and revoke API keys.",
    "secrets": "Set, list and remove stored secrets, and make and rotate the key that encrypts them.",
}
"""Each command with the help that `--help` lists, in this order. The command NAME is the function of that name, or the
group of commands, in the module `triggers.commands.NAME`."""


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


# -- commands ---------------------------------------------------------------------------------------------------


class LazyGroup(TyperGroup):
    """The commands of the table. Each is a name and a help text until it is the one that runs or is completed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        known = {name: TyperCommand(name, help=help, rich_markup_mode=None) for name, help in COMMANDS.items()}
        self.commands = {**known, **self.commands}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """A command of the table with its parameters; imports its module."""
    command = getattr(load_module(f"triggers.commands.{name}"), name)
    holder = typer.Typer(cls=TyperGroup, rich_markup_mode=None)
    if isinstance(command, typer.Typer):
        holder.add_typer(command, name=name, help=COMMANDS[name])
    else:
        holder.command(name, help=COMMANDS[name])(command)
    holder.callback()(_do_nothing)  # without it a single command would not be in a group
    group = typer.main.get_command(holder)
    assert isinstance(group, TyperGroup)
    _add_env_file(group.commands[name])
    return group.commands[name]


def _add_env_file(command: Any) -> None:
    """Add `--env-file` to a command, or to each command of a group, that reads the environment: all that have a config
    folder do."""
    for each in getattr(command, "commands", {}).values():
        _add_env_file(each)
    names = [parameter.name for parameter in command.params]
    if "config" in names:
        command.params.insert(names.index("config"), _make_env_file())


def _make_env_file() -> Any:
    """The option as typer makes it of a function's parameter."""
    holder = typer.Typer(add_completion=False)
    holder.command()(_read_env_files)
    option = next(each for each in typer.main.get_command(holder).params if each.name == "env_file")
    option.expose_value = False  # its callback is all that it does
    return option


def _load_env_files(paths: list[Path] | None) -> list[Path] | None:
    if paths:
        load_module("triggers.commands.env_files").load_env_files(paths)
    return paths


def _read_env_files(
    env_file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,  # the folders may be named in the file (WAYPOST_CONFIG)
            callback=_load_env_files,
            help="A file of NAME=VALUE lines; the environment has precedence. Repeatable.",
        ),
    ] = None,
) -> None:
    pass


def _do_nothing() -> None:
    pass


app = typer.Typer(
    name="waypost",
    cls=LazyGroup,
    help="Webhook automation in which every step survives kill -9.",
    epilog="Exit codes: 0 success, 1 failure, 2 usage error, 3 not ready.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"waypost {__version__}")
        raise typer.Exit


@app.callback()
def _read_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# -- the process ------------------------------------------------------------------------------------------------


def _open_standard_streams() -> None:
    """Open the standard streams that the caller closed (`>&-`, a daemon without them) on the null device. A socket or
    the database that took such a number would be written to as if it were the log, and uvloop aborts the process at its
    end."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the least number that is free


def _decode_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments as the texts that they are in UTF-8, whatever the locale; raises `CommandFailed`."""
    decoded: list[str] = []
    for number, argument in enumerate(arguments, 1):
        try:
            decoded.append(os.fsencode(argument).decode("utf-8"))
        except UnicodeError:
            shown = argument.encode("ascii", "backslashreplace").decode()[:80]
            what = (
                f"argument {number} ({shown}) is not UTF-8 text: write it in UTF-8; `waypost --help` lists the commands"
            )
            raise failure.CommandFailed(what, failure.WRONG_USE) from None
    return decoded
