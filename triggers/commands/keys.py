"""Commands about keys of the API: make, list and revoke them, with a running service or without one."""

# ruff: noqa: PLC0415  # what a command does not need, it does not import

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from triggers.commands.failure import WRONG_USE, CommandFailed
from triggers.commands.options import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.instance import Instance

if TYPE_CHECKING:
    from triggers.keys import Keys

app = typer.Typer(help="Make, list and revoke keys of the API.", no_args_is_help=True, rich_markup_mode=None)

SCOPES = ("read", "start", "admin")


class KeyStore(Protocol):
    """Whoever keeps the keys of a data folder: its running service, or the journal itself."""

    async def keys(self) -> list[dict[str, Any]]: ...
    async def create_key(self, name: str, scope: str) -> dict[str, Any]: ...
    async def revoke_key(self, key: str) -> dict[str, Any]: ...


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who the key is for.")],
    scope: Annotated[str, typer.Option(help="read; start: also start, cancel, answer runs; admin: all.")] = "start",
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Make a key; it is printed here and never again."""
    from triggers.commands.output import print_json

    if not 1 <= len(name) <= 100:
        raise CommandFailed("a key's name has 1 to 100 characters", WRONG_USE)
    wanted = parse_choice(SCOPES, scope, "--scope") or "start"

    async def ask() -> dict[str, Any]:
        async with _open_key_store(Instance(config, data, os.environ)) as store:
            return await store.create_key(name, wanted)

    made = asyncio.run(ask())
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made['id']} may {made['scope']}; this is shown once:", err=True)
    typer.echo(made["key"])


@app.command("list")
def list_keys(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    """List every key that was ever made, without the keys themselves."""
    from triggers.commands.output import console, format_time, print_json, print_table

    async def ask() -> list[dict[str, Any]]:
        async with _open_key_store(Instance(config, data, os.environ)) as store:
            return await store.keys()

    found = asyncio.run(ask())
    if as_json:
        print_json(found)
        return
    rows = (
        (k["id"], k["name"], k["scope"], format_time(k["created_at"])[:19], format_time(k["revoked_at"])[:19])
        for k in found
    )
    print_table(console(), ("KEY", "NAME", "SCOPE", "MADE", "REVOKED"), rows, cut="NAME")


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id.")],
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Make a key worthless, at once and for ever."""
    from triggers.commands.output import print_json

    async def ask() -> dict[str, Any]:
        async with _open_key_store(Instance(config, data, os.environ)) as store:
            return await store.revoke_key(key)

    revoked = asyncio.run(ask())
    print_json(revoked) if as_json else typer.echo(f"{revoked['id']} ({revoked['name']}) is worthless now")


class JournalKeyStore:
    """The keys of a journal that no service holds."""

    def __init__(self, keys: "Keys") -> None:
        self._keys = keys

    async def keys(self) -> list[dict[str, Any]]:
        from triggers.api.keys import describe_key

        return [describe_key(key) for key in self._keys.list_keys()]

    async def create_key(self, name: str, scope: str) -> dict[str, Any]:
        from triggers.api.keys import describe_key
        from triggers.keys import SCOPES

        key, text = await self._keys.create(name, next(each for each in SCOPES if each == scope))
        return describe_key(key) | {"key": text}

    async def revoke_key(self, key: str) -> dict[str, Any]:
        from triggers.api.keys import describe_key

        revoked = await self._keys.revoke(key)
        if revoked is None:
            raise CommandFailed(f"there is no key {key!r}; `waypost keys list` lists them")
        return describe_key(revoked)


@asynccontextmanager
async def _open_key_store(place: Instance) -> AsyncIterator[KeyStore]:
    """The running service, or else the journal, which is held meanwhile as a service holds it."""
    from triggers.reading import connect_service

    async with connect_service(place) as running:
        if running:
            yield running
            return

    from durable.clock import new_id, now
    from durable.journal.journal import Journal
    from triggers.keys import Keys

    def broken(error: BaseException) -> None:
        """Nothing more to do: the command that waits for the write is told too."""

    journal = await Journal.open(place.data, node=new_id("node", now()), on_fatal=broken)
    try:
        keys = Keys(journal, None, now)
        await keys.load()
        yield JournalKeyStore(keys)
    finally:
        await journal.close()
