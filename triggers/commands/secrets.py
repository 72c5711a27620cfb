"""`waypost secrets`: set, list and remove secrets of the encrypted store, and make and rotate its key."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from durable.secrets import SIZE_LIMIT
from durable.wording import count_things, make_printable
from triggers.commands.ask import ask_secret_keeper
from triggers.commands.failure import FAILED, WRONG_USE, CommandFailed
from triggers.commands.output import open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.documents.secrets import SecretDocument
from triggers.store_key import create_key_file, is_within

secrets = typer.Typer(no_args_is_help=True)
key = typer.Typer(no_args_is_help=True)
secrets.add_typer(key, name="key", help="Make and rotate the key that encrypts stored secrets.")

SecretName = Annotated[str, typer.Argument(metavar="NAME", help="The name, as in `secrets.NAME`.")]


@secrets.command("set", help="Store a secret, encrypted. Its value is read from standard input, or asked for.")
def set_secret(name: SecretName, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    value = _read_value(name)
    stored = ask_secret_keeper(config, data, lambda keeper: keeper.set_secret(name, value))
    if as_json:
        print_json(stored)
        return
    typer.echo(f"{stored.name} is stored")
    for doubt in stored.doubts:
        typer.echo(f"warning: {stored.name} {doubt}", err=True)


def _read_value(name: str) -> str:
    """The value that is typed without being shown, or that standard input has, without its final newline."""
    if sys.stdin.isatty():
        typed: str = typer.prompt(f"Value of {name}", hide_input=True, err=True)
        return typed
    data = sys.stdin.buffer.read(SIZE_LIMIT + 3)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CommandFailed("the value on standard input is not UTF-8 text", WRONG_USE) from None
    return text.removesuffix("\n").removesuffix("\r")


@secrets.command("list", help="List the secrets that are set and where they come from, without their values.")
def list_secrets(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = ask_secret_keeper(config, data, lambda keeper: keeper.list_secrets())
    if as_json:
        print_json(found)
        return
    print_table(open_console(), ("NAME", "FROM", "STORED", "BY", "NOTES"), map(_make_row, found.secrets), cut="NOTES")
    if found.problem:
        typer.echo(f"warning: {found.problem}", err=True)


def _make_row(secret: SecretDocument) -> tuple[str, ...]:
    notes = "; ".join(map(make_printable, secret.doubts))
    return secret.name, secret.source, (secret.updated_at or "")[:19], secret.updated_by or "", notes


@secrets.command(help="Remove a secret from the encrypted store.")
def remove(name: SecretName, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    removed = ask_secret_keeper(config, data, lambda keeper: keeper.remove_secret(name))
    if as_json:
        print_json(removed)
        return
    left = f"; its value comes from the {removed.source} now" if removed.source else ""
    typer.echo(f"{removed.name} is removed{left}")


@key.command(help="Make a store key in a new file, outside of the data folder.")
def new(file: Annotated[Path, typer.Argument(help="The file to make.")], data: Data = DATA) -> None:
    if is_within(file, data):
        what = f"{file} is in a data folder, where a copy of the data would contain the key"
        raise CommandFailed(f"{what}: name a file in another folder", WRONG_USE)
    try:
        made = create_key_file(file)
    except FileExistsError:
        raise CommandFailed(f"{file} already exists: name another file", WRONG_USE) from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be created: {error.strerror}", FAILED) from None
    typer.echo(f"{file} has the store key {made.id}; only its owner can read it")
    typer.echo(
        f"Start the service with WAYPOST_STORE_KEY_FILE={file.absolute()}. Keep a copy of the file apart from the "
        "backups: without it, nobody can read what is stored."
    )


@key.command(help="Encrypt all stored values with a new key. The service may be running.")
def rotate(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    done = ask_secret_keeper(config, data, lambda keeper: keeper.rotate_store_key())
    if as_json:
        print_json(done)
        return
    made = "new " if done.is_new else ""
    typer.echo(f"{count_things(done.resealed, 'value')} encrypted with the {made}store key {done.store_key}")
    if done.older_keys:
        older = ", ".join(done.older_keys)
        typer.echo(f"Older keys are kept for older backups: {older}. Remove their lines when no backup needs them.")
    for each in done.unreadable:
        typer.echo(f"warning: not changed: {each}", err=True)
