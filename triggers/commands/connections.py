"""`waypost connections`: list connections, and test one, with a running service or without one; log one in and out."""

import asyncio
import os
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.text import Text

from triggers.commands.ask import ask_reader, ask_service
from triggers.commands.failure import FAILED, CommandFailed
from triggers.commands.output import open_console, print_json, print_table
from triggers.commands.own_service import open_own_service
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.documents.connections import (
    ConnectionDocument,
    ConnectionTestDocument,
    LoginDocument,
    LogoutDocument,
)
from triggers.instance import Instance
from triggers.reading.client import ServiceClient, connect_service

STYLES = {"ready": "green", "invalid": "red", "lacks_secret": "red", "needs_login": "yellow"}

PAUSE = 0.5
"""Seconds between two checks of a login."""

Name = Annotated[str, typer.Argument(help="The name of the connection.")]

connections = typer.Typer(no_args_is_help=True)


@connections.command("list", help="List all connections: whether each can be used, and why not.")
def list_connections(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = ask_reader(config, data, lambda reader: reader.list_connections())
    print_json(found) if as_json else print_states(open_console(), found)


@connections.command(
    "test", help="Call the service to find out whether a connection works. Exit code 1 if it does not."
)
def call_service(
    name: Name,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    outcome = asyncio.run(_test(name, Instance(config, data, os.environ)))
    print_json(outcome) if as_json else typer.echo(outcome.message)
    if not outcome.works:
        raise typer.Exit(FAILED)


async def _test(name: str, instance: Instance) -> ConnectionTestDocument:
    async with connect_service(instance) as running:
        if running:
            return await running.test_connection(name)
    async with open_own_service(instance) as own:
        return await own.test_connection(name)


@connections.command(
    help="Log a connection in with OAuth 2.0: print the address to open in a browser, and wait until the service has "
    "sent the browser back."
)
def login(
    name: Name,
    is_pasted: Annotated[
        bool,
        typer.Option(
            "--paste", help="Ask for the address at which the browser ended, if the browser cannot reach Waypost."
        ),
    ] = False,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the address in a browser on this machine.")] = False,
    config: Config = CONFIG,
    data: Data = DATA,
) -> None:
    outcome = ask_service(config, data, lambda service: _log_in(service, name, is_pasted, is_opened))
    typer.echo(outcome.message)
    if outcome.status != "completed":
        raise typer.Exit(FAILED)


async def _log_in(service: ServiceClient, name: str, is_pasted: bool, is_opened: bool) -> LoginDocument:
    begun = await service.begin_login(name)
    typer.echo(f"Open this address in a browser, and permit the access:\n\n{begun.url}\n", err=True)
    typer.echo(f"The service then sends the browser to {begun.redirect_url}", err=True)
    if is_opened:
        typer.launch(begun.url)
    if is_pasted:
        pasted = await asyncio.to_thread(typer.prompt, "Address at which the browser ended", err=True)
        await service.complete_login(urlsplit(pasted.strip()).query)
    while True:
        known = (await service.get_connection(name)).login
        if known is None:
            raise CommandFailed(f"the login of {name} was lost because Waypost was restarted; begin it again")
        if known.status != "pending":
            return known
        if is_pasted:
            raise CommandFailed(
                "this address does not belong to the login; begin it again, and paste the complete address"
            )
        await asyncio.sleep(PAUSE)


@connections.command(help="Delete the tokens of a connection, and revoke them if the service supports that.")
def logout(name: Name, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    done = asyncio.run(_log_out(name, Instance(config, data, os.environ)))
    print_json(done) if as_json else typer.echo(done.message)


async def _log_out(name: str, instance: Instance) -> LogoutDocument:
    async with connect_service(instance) as running:
        if running:
            return await running.log_out(name)
    async with open_own_service(instance) as own:
        return await own.log_out(name)


def print_states(out: Console, found: Sequence[ConnectionDocument]) -> None:
    """A line a connection, with the reason why it cannot be used or waits."""
    rows = (
        (each.name, each.connector or "", Text(_name_state(each), STYLES[each.status]), _explain(each))
        for each in found
    )
    print_table(out, ("CONNECTION", "CONNECTOR", "STATE", "REASON"), rows, fold="REASON")


def _name_state(connection: ConnectionDocument) -> str:
    return connection.status.replace("_", " ")


def _explain(connection: ConnectionDocument) -> str:
    gate = connection.gate
    return connection.reason or (gate.reason if gate and gate.reason else "")
