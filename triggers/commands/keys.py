"""`waypost keys`: make, list and revoke keys of the API, with a running service or without one."""

from typing import Annotated, get_args

import typer

from triggers.commands.ask import ask_key_store, ask_service
from triggers.commands.failure import WRONG_USE, CommandFailed
from triggers.commands.output import format_time, open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.documents.fields import KeyGrant, Scope
from triggers.documents.keys import KeyDocument

keys = typer.Typer(no_args_is_help=True)


@keys.command(help="Create a key. It is printed once and cannot be shown again.")
def create(
    name: Annotated[str, typer.Argument(help="A name for the key, such as its user.")],
    scope: Annotated[
        str | None,
        typer.Option(help="read; start (also start, cancel and answer runs); or admin (everything). Default: start."),
    ] = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(
            help="answer: answer what runs wait for, and see that. Without --scope, the key may do only this."
        ),
    ] = None,
    signing: Annotated[
        bool, typer.Option("--signing", help="Print a secret with which your backend signs tokens for streams.")
    ] = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if not 1 <= len(name) <= 100:
        raise CommandFailed("a key's name has 1 to 100 characters", WRONG_USE)
    grants = [parsed for each in grant or () if (parsed := parse_choice(get_args(KeyGrant), each, "--grant"))]
    wanted: Scope | None = parse_choice(get_args(Scope), scope, "--scope") or (None if grants else "start")
    if signing:
        made = ask_service(config, data, lambda service: service.create_key(name, "sign", ()))
    else:
        made = ask_key_store(config, data, lambda store: store.create_key(name, wanted, grants))
    if as_json:
        print_json(made)
        return
    what = (
        f"{made.id} signs tokens (`kid`); its secret" if signing else f"{made.id} may {_format_rights(made)}; the key"
    )
    typer.echo(f"{what} is shown only once:", err=True)
    typer.echo(made.key)


def _format_rights(key: KeyDocument) -> str:
    return ", ".join([*([key.scope] if key.scope else []), *key.grants])


@keys.command("list", help="List all keys, including revoked ones, without their secrets.")
def list_keys(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = ask_key_store(config, data, lambda store: store.list_keys())
    if as_json:
        print_json(found)
        return
    rows = (
        (
            each.id,
            each.name,
            _format_rights(each),
            format_time(each.created_at)[:19],
            format_time(each.last_used_at)[:19],
            format_time(each.revoked_at)[:19],
        )
        for each in found
    )
    print_table(open_console(), ("KEY", "NAME", "SCOPE", "MADE", "LAST USED", "REVOKED"), rows, cut="NAME")


@keys.command(help="Revoke a key. It stops working immediately; this cannot be undone.")
def revoke(
    key: Annotated[str, typer.Argument(help="The id of the key.")],
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    revoked = ask_key_store(config, data, lambda store: store.revoke_key(key))
    print_json(revoked) if as_json else typer.echo(f"{revoked.id} ({revoked.name}) is revoked")
