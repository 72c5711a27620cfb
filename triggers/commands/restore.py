"""`waypost restore`: put a backup into a data folder in which no service is running."""

from typing import Annotated

import typer

from durable.journal.sqlite.backup import restore_backup
from durable.wording import count_things
from triggers.commands.backup import BackupFile, describe_contents, explain_store_keys, summarize_contents
from triggers.commands.output import print_json
from triggers.commands.parameters import DATA, AsJson, Data
from triggers.documents.fields import format_time


def restore(
    file: BackupFile,
    data: Data = DATA,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the journal in the folder; the old one is kept under another name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    contents, old = restore_backup(file, data, replaces=force)
    if as_json:
        print_json({"data": str(data), "replaced": str(old) if old else None, **describe_contents(contents)})
        return
    typer.echo(f"{data}: restored {summarize_contents(contents)}")
    if old:
        typer.echo(f"The journal that was there is now {old}.")
    if needed := explain_store_keys(contents):
        typer.echo(f"{needed}: start the service with WAYPOST_STORE_KEY_FILE=FILE, in which that key is.")
    if contents.bulks:
        typer.echo(f"{count_things(contents.bulks, 'running bulk')} will continue when the service starts.")
    if contents.unfinished:
        taken = f" ({format_time(contents.taken_at)})" if contents.taken_at is not None else ""
        typer.echo(
            f"{count_things(contents.unfinished, 'unfinished run')} will continue when the service starts. Steps that "
            f"they performed after the backup was taken{taken} are performed again, with the same idempotency keys. Do "
            "not start the service here while the original one is running: both would perform every step."
        )
