"""`waypost bulk`: list, show, follow, stop and resume bulks, which `--all` of other commands creates."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from durable.bulks import BulkOutcome
from durable.wording import make_printable
from triggers.commands.ask import ask_reader, ask_reader_about, ask_service_about
from triggers.commands.follow_bulk import follow_bulk, format_counts, print_bulk_end
from triggers.commands.output import (
    format_time,
    open_console,
    print_fields,
    print_json,
    print_more,
    print_table,
    style_status,
)
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.documents.bulks import BulkDocument, BulkItemDocument
from triggers.reading.client import ServiceClient
from triggers.reading.reader import Reader

bulk = typer.Typer(no_args_is_help=True)

BulkId = Annotated[str, typer.Argument(help="The bulk: its id, the beginning or the end of it, or `latest`.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="The maximum number.")]


@bulk.command("list", help="List bulks, newest first.")
def list_bulks(limit: Limit = 20, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = ask_reader(config, data, lambda reader: reader.list_bulks(limit))
    if as_json:
        print_json(found)
        return
    rows = (
        (
            each.id,
            each.action,
            style_status(each.status),
            format_counts(each),
            format_time(each.created_at)[5:19],
            make_printable(each.words),
        )
        for each in found
    )
    print_table(open_console(), ("BULK", "ACTION", "STATUS", "PROGRESS", "CREATED", "WHAT"), rows, cut="WHAT")
    print_more(len(found), limit)


@bulk.command(help="Show a bulk, its progress and its items.")
def show(
    bulk: BulkId,
    outcome: Annotated[str | None, typer.Option(help="Only items that are pending, done or refused.")] = None,
    limit: Limit = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    wanted = parse_choice(get_args(BulkOutcome), outcome, "--outcome")

    async def read(reader: Reader, id: str) -> tuple[BulkDocument, list[BulkItemDocument]]:
        return await reader.get_bulk(id), await reader.list_bulk_items(id, wanted, limit)

    found, items = ask_reader_about(config, data, bulk, read, kind="bulk")
    if as_json:
        print_json({"bulk": found, "items": items})
        return
    _print_bulk(open_console(), found, items)
    print_more(len(items), limit)


@bulk.command(help="Show the progress of a bulk until it ends.")
def follow(bulk: BulkId, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    async def watch(service: ServiceClient, id: str) -> BulkDocument:
        return await follow_bulk(service, await service.get_bulk(id), is_quiet=as_json)

    _ask_and_print(bulk, watch, config, data, as_json=as_json)


@bulk.command(help="Stop a bulk after the items in progress.")
def stop(bulk: BulkId, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    async def ask(service: ServiceClient, id: str) -> BulkDocument:
        return await follow_bulk(service, await service.stop_bulk(id), is_quiet=True)

    _ask_and_print(bulk, ask, config, data, as_json=as_json)


@bulk.command(help="Continue a stopped bulk.")
def resume(
    bulk: BulkId,
    rate: Annotated[int | None, typer.Option(min=1, max=1000, help="The maximum number of items per second.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    _ask_and_print(bulk, lambda service, bulk: service.resume_bulk(bulk, rate), config, data, as_json=as_json)


def _ask_and_print(
    bulk: str,
    question: Callable[[ServiceClient, str], Awaitable[BulkDocument]],
    config: Path,
    data: Path,
    *,
    as_json: bool,
) -> None:
    found = ask_service_about(config, data, bulk, question, kind="bulk")
    print_json(found) if as_json else print_bulk_end(found)


def _print_bulk(out: Console, bulk: BulkDocument, items: list[BulkItemDocument]) -> None:
    out.print(f"{bulk.id}  {bulk.action}  ", style_status(bulk.status), f"  {format_counts(bulk)}", sep="")
    print_fields(
        out,
        [
            ("what", make_printable(bulk.words)),
            ("by", make_printable(bulk.by)),
            ("reason", make_printable(bulk.reason) if bulk.reason else None),
            ("rate", f"at most {bulk.rate} per second"),
            ("created", format_time(bulk.created_at)[:19]),
            ("stopped" if bulk.status == "stopped" else "ended", format_time(bulk.finished_at)[:19] or None),
            ("stopped by", bulk.stopped_by),
            ("next", f"waypost bulk resume {bulk.id}" if bulk.status == "stopped" else None),
        ],
    )
    if items:
        out.print()
        rows = (
            (
                each.item,
                each.outcome,
                each.run or "",
                style_status(each.status or ""),
                make_printable(each.reason or ""),
            )
            for each in items
        )
        print_table(out, ("ITEM", "OUTCOME", "RUN", "STATUS", "REASON"), rows, fold="REASON")
