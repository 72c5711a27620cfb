"""Following a bulk: poll the service and show its progress until it ends or a signal stops the follower."""

import asyncio
import contextlib

import httpx
from rich.console import Console
from rich.live import Live
from rich.text import Text

from triggers.commands.failure import NOT_READY, CommandFailed
from triggers.commands.output import open_console, style_status
from triggers.documents.bulks import BulkDocument
from triggers.reading.client import ServiceClient
from triggers.signals import watch_stop_signals

ENDED = ("finished", "stopped")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between two requests: short for a bulk that ends at once, and longer with every one."""


async def follow_bulk(service: ServiceClient, bulk: BulkDocument, *, is_quiet: bool) -> BulkDocument:
    """Show the progress of a bulk until it has ended, or Ctrl-C; returns it as it is then."""
    stopping = watch_stop_signals()
    out = Console(quiet=True) if is_quiet else open_console(err=True)
    pause = FIRST_PAUSE
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=out, transient=True)) if out.is_terminal and not is_quiet else None
        if live is None:
            out.print(format_progress(bulk), soft_wrap=True)
        while bulk.status not in ENDED and not stopping.is_set():
            if live:
                live.update(format_progress(bulk))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            bulk = await _ask(service, bulk.id)
    return bulk


async def _ask(service: ServiceClient, bulk: str) -> BulkDocument:
    try:
        return await service.get_bulk(bulk)
    except httpx.TransportError:
        what = f"the service at {service.url} no longer responds; {bulk} continues when it is back"
        raise CommandFailed(f"{what}: `waypost bulk show {bulk}`", NOT_READY) from None


def format_progress(bulk: BulkDocument) -> Text:
    """A line about a bulk: `blk_… running  350 of 1234, 2 refused`."""
    return Text.assemble((bulk.id, "bold"), " ", style_status(bulk.status), f"  {format_counts(bulk)}")


def format_counts(bulk: BulkDocument) -> str:
    """`350 of 1234, 2 refused`."""
    number = f"{bulk.total}" if bulk.exact else f"more than {bulk.total}"
    refused = f", {bulk.refused} refused" if bulk.refused else ""
    return f"{bulk.done + bulk.refused} of {number}{refused}"


def print_bulk_end(bulk: BulkDocument) -> None:
    """Print how a bulk ended, or that it goes on."""
    err = open_console(err=True)
    if bulk.status not in ENDED:
        line = f"{bulk.id} continues ({format_counts(bulk)}): `waypost bulk follow {bulk.id}` shows its progress, "
        line += f"`waypost bulk stop {bulk.id}` stops it"
    else:
        line = f"{bulk.id} is {bulk.status}: {bulk.done} done, {bulk.refused} refused"
        if bulk.refused:
            line += f"; `waypost bulk show {bulk.id} --outcome refused` says why"
        if bulk.status == "stopped":
            line += f"; `waypost bulk resume {bulk.id}` continues it"
        elif bulk.done and bulk.action != "cancel":
            line += f"; `waypost bulk show {bulk.id}` shows the status of each run: done means begun, not completed"
    err.print(line, soft_wrap=True)
