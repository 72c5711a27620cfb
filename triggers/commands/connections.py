"""`waypost connections`: list connections, and test one, with a running service or without one."""

import asyncio
import os
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from triggers.commands.ask import ask_reader
from triggers.commands.failure import FAILED
from triggers.commands.output import open_console, print_json, print_table
from triggers.commands.own_service import open_own_service
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.documents.connections import ConnectionDocument, ConnectionTestDocument
from triggers.instance import Instance
from triggers.reading.client import connect_service

STYLES = {"ready": "green", "invalid": "red", "lacks_secret": "red"}

connections = typer.Typer(no_args_is_help=True)


@connections.command("list", help="List all connections: whether each can be used, and why not.")
def list_connections(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = ask_reader(config, data, lambda reader: reader.list_connections())
    print_json(found) if as_json else print_states(open_console(), found)


@connections.command(
    "test", help="Call the service to find out whether a connection works. Exit code 1 if it does not."
)
def call_service(
    name: Annotated[str, typer.Argument(help="The name of the connection.")],
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
