"""`waypost top`: how the service does, on one screen that is kept up to date."""

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, get_args

import httpx
import typer
from rich.console import Console
from rich.live import Live

from triggers.commands.ask import ask_service
from triggers.commands.output import open_console, print_json, print_plainly
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, parse_choice
from triggers.commands.top_view import TopSnapshot, TopView
from triggers.documents.overview import Period
from triggers.reading.client import ServiceClient
from triggers.signals import watch_stop_signals

RUNNING = 50
"""The runs that are asked for, the newest; a screen has room for fewer."""

QUIT = frozenset({"q", "Q", "\x03"})
PERIOD_KEYS: dict[str, Period] = {"h": "hour", "d": "day", "w": "week"}


def top(
    period: Annotated[str, typer.Option(help="The time that the numbers are about: hour, day or week.")] = "hour",
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two questions.")] = 2.0,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    chosen: Period = parse_choice(get_args(Period), period, "--period") or "hour"
    out = open_console()
    if as_json:
        shown = ask_service(config, data, lambda service: _ask(service, chosen))
        print_json({"overview": shown.overview, "attention": shown.attention, "running": shown.running})
    elif not out.is_terminal:
        view = TopView()
        view.snapshot = ask_service(config, data, lambda service: _ask(service, chosen))
        print_plainly(out, view)
    else:
        ask_service(config, data, lambda service: _watch(service, out, chosen, every))


async def _ask(service: ServiceClient, period: Period) -> TopSnapshot:
    overview, attention, running = await asyncio.gather(
        service.get_overview(period), service.get_attention(), service.list_runs(status="running", limit=RUNNING)
    )
    return TopSnapshot(service.url, datetime.now(UTC), overview, attention, running)


async def _watch(service: ServiceClient, out: Console, period: Period, every: float) -> None:
    """Show the screen until a key or a signal ends it."""
    stopping, changed, view = watch_stop_signals(), asyncio.Event(), TopView()

    def take_key(key: str) -> None:
        nonlocal period
        if key in QUIT:
            stopping.set()
        period = PERIOD_KEYS.get(key, period)
        changed.set()

    with _reading_keys(take_key), Live(view, console=out, screen=True, auto_refresh=False) as live:
        while not stopping.is_set():
            changed.clear()
            try:
                view.snapshot, view.problem = await _ask(service, period), None
            except httpx.TransportError:
                view.problem = "no answer; trying again …"
            live.refresh()
            waiting = [asyncio.create_task(event.wait()) for event in (stopping, changed)]
            await asyncio.wait(waiting, timeout=every, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()


@contextlib.contextmanager
def _reading_keys(take: Callable[[str], None]) -> Iterator[None]:
    """Read single keys from the terminal, without showing them, if there is one."""
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, termios.error):
        yield
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        keys = os.read(terminal, 64)
        if not keys:
            loop.remove_reader(terminal)
        for key in keys.decode(errors="replace"):
            take(key)

    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
