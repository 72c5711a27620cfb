"""`waypost keys`: make, list and revoke keys of the API, with a running service or without one."""

import asyncio
import os
from typing import Annotated, get_args

import typer

from triggers.commands.failure import WRONG_USE, CommandFailed
from triggers.commands.output import console, format_time, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.documents import KeyDocument, MadeKeyDocument, Scope
from triggers.instance import Instance
from triggers.reading.reader import open_key_store

keys = typer.Typer(no_args_is_help=True)


@keys.command(help="Make a key; it is printed here and never again.")
def create(
    name: Annotated[str, typer.Argument(help="Who the key is for.")],
    scope: Annotated[str, typer.Option(help="read; start: also start, cancel, answer runs; admin: all.")] = "start",
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if not 1 <= len(name) <= 100:
        raise CommandFailed("a key's name has 1 to 100 characters", WRONG_USE)
    wanted: Scope = parse_choice(get_args(Scope), scope, "--scope") or "start"
    made = asyncio.run(_create(Instance(config, data, os.environ), name, wanted))
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made.id} may {made.scope}; this is shown once:", err=True)
    typer.echo(made.key)


@keys.command("list", help="List every key that was ever made, without the keys themselves.")
def list_keys(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = asyncio.run(_list(Instance(config, data, os.environ)))
    if as_json:
        print_json(found)
        return
    rows = (
        (
            each.id,
            each.name,
            each.scope,
            format_time(each.created_at)[:19],
            format_time(each.revoked_at)[:19],
        )
        for each in found
    )
    print_table(console(), ("KEY", "NAME", "SCOPE", "MADE", "REVOKED"), rows, cut="NAME")


@keys.command(help="Make a key worthless, at once and for ever.")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id.")],
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    revoked = asyncio.run(_revoke(Instance(config, data, os.environ), key))
    print_json(revoked) if as_json else typer.echo(f"{revoked.id} ({revoked.name}) is worthless now")


async def _create(instance: Instance, name: str, scope: Scope) -> MadeKeyDocument:
    async with open_key_store(instance) as store:
        return await store.create_key(name, scope)


async def _list(instance: Instance) -> list[KeyDocument]:
    async with open_key_store(instance) as store:
        return await store.list_keys()


async def _revoke(instance: Instance, key: str) -> KeyDocument:
    async with open_key_store(instance) as store:
        return await store.revoke_key(key)
