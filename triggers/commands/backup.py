"""`waypost backup`: copy the journal into a file, whether or not a service is running."""

from pathlib import Path
from typing import Annotated

import typer

from durable.journal.sqlite.backup import BackupContents, write_backup
from durable.values import JSON
from durable.wording import count_things, format_size
from triggers.commands.failure import FAILED, WRONG_USE, CommandFailed
from triggers.commands.output import print_json
from triggers.commands.parameters import DATA, AsJson, Data
from triggers.documents.fields import format_time

BackupFile = Annotated[Path, typer.Argument(help="The backup file.")]


def backup(
    file: BackupFile,
    data: Data = DATA,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    if file.is_dir():
        raise CommandFailed(f"{file} is a folder: name a file, such as {file / 'waypost.backup'}", WRONG_USE)
    if not file.absolute().parent.is_dir():
        raise CommandFailed(f"there is no folder {file.absolute().parent}: create it first", WRONG_USE)
    if file.absolute().parent.resolve() == data.resolve():
        what = f"{file} would be in the data folder, beside the files that a service uses"
        raise CommandFailed(f"{what}: name a file in another folder", WRONG_USE)
    try:
        contents = write_backup(data, file, replaces=force)
    except FileExistsError as error:
        raise CommandFailed(str(error), FAILED) from None
    if as_json:
        print_json({"file": str(file), **describe_contents(contents)})
        return
    typer.echo(f"{file}: {summarize_contents(contents)}; checked")
    typer.echo(
        "It does not contain the config folder, the secrets or the API key in the data folder (api.key): back them up "
        "separately. `waypost restore` puts the backup into a data folder."
    )
    if needed := explain_store_keys(contents):
        typer.echo(f"{needed}, which is not in it either.")


def describe_contents(contents: BackupContents) -> dict[str, JSON]:
    """The contents of a backup as JSON."""
    return {
        "bytes": contents.size,
        "tables": contents.tables,
        "runs": contents.runs,
        "unfinished": contents.unfinished,
        "running_bulks": contents.bulks,
        "events": contents.events,
        "newest_run_at": format_time(contents.newest),
        "taken_at": format_time(contents.taken_at),
        "stored_values": contents.sealed,
        "store_keys": list(contents.store_keys),
    }


def explain_store_keys(contents: BackupContents) -> str | None:
    """Say which store keys the encrypted values of a backup need; None if there are none."""
    if not contents.sealed:
        return None
    keys = f"store key{'s' if len(contents.store_keys) > 1 else ''} {', '.join(contents.store_keys)}"
    return f"Its stored secrets and tokens ({contents.sealed}) are encrypted with the {keys}"


def summarize_contents(contents: BackupContents) -> str:
    """The contents of a backup as text for people."""
    newest = f", the newest from {format_time(contents.newest)}" if contents.newest is not None else ""
    return (
        f"{format_size(contents.size)}, {count_things(contents.runs, 'run')} ({contents.unfinished} unfinished){newest}"
    )
