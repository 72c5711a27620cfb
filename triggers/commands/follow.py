"""Following a run: it is asked for again and again, and shown as it goes, until it ends or somebody stops looking."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

import httpx
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from triggers.commands import next_steps
from triggers.commands.failure import NOT_READY, CommandFailed
from triggers.commands.output import cut, format_count, format_seconds, format_span, format_time, style_status
from triggers.commands.show import error_line
from triggers.reading import OverApi

Document: TypeAlias = dict[str, Any]

ENDED = frozenset({"completed", "failed", "cancelled", "paused"})
"""Statuses after which nothing more happens by itself."""

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds between two questions: short for a run that ends at once, and longer with every one."""


class FollowView(Protocol):
    """Shows a run as it is told, again and again."""

    def show(self, told: Document) -> None: ...


class LineView:
    """A plain line whenever something of a step changes."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._said: dict[str, str] = {}

    def show(self, told: Document) -> None:
        if told["status"] not in ENDED:
            self._say("", f"{told['id']} {told['status']}")
        for path, step in told["steps"].items():
            noted = "".join(f", {note}" for note in _notes(told, path))
            self._say(path, f"{path} {step['status']}, {format_count(step['attempts'], 'attempt')}{noted}")
        self._say("", f"{told['id']} {told['status']}")

    def _say(self, what: str, line: str) -> None:
        if self._said.get(what) != line:
            self._said[what] = line
            self._out.print(line, soft_wrap=True)


@dataclass
class LiveView:
    """A picture of the run that changes in place; between two tellings its clocks go on."""

    told: Document = field(default_factory=dict)

    def show(self, told: Document) -> None:
        self.told = told

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.told:
            return
        run = self.told
        head = Text.assemble(
            (run["id"], "bold"), f"  {run['pipeline']}  ", style_status(run["status"]), f"  {_format_duration(run)}"
        )
        steps = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(4):
            steps.add_column(no_wrap=True)
        steps.add_column()
        for path, step in run["steps"].items():
            attempts = format_count(step["attempts"], "attempt") if step["attempts"] else ""  # a block has none
            note = "; ".join(_notes(run, path))
            steps.add_row(f"  {path}", style_status(step["status"]), attempts, _format_duration(step), cut(note))
        yield Group(head, steps) if run["steps"] else head


def _format_duration(what: Document) -> str:
    """How long a run or a step took, or how long it has been at it."""
    began = what.get("scheduled_at") or what.get("created_at")
    if what["finished_at"] or not began:
        return format_span(began, what["finished_at"])
    return format_seconds(max(0.0, (datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds()))


def _notes(run: Document, path: str) -> Iterator[str]:
    """What a step that has not ended waits for, why, and what to do about it."""
    step = run["steps"][path]
    if step["status"] in ("completed", "skipped", "cancelled"):
        return
    waits = [wait for wait in run["waits"] if wait["step"] == path]
    if step["due_at"] and step["status"] == "waiting" and not waits:
        yield f"until {format_time(step['due_at'])[11:]}"
    for wait in waits:
        yield f"waits for {next_steps.summarize_wait(wait)}"
        if wait["kind"] in ("approval", "webhook") and (command := next_steps.suggest_command(wait, run["id"])):
            yield f"`{command}`"
    errors = [each["error"] for each in step["tries"] if each["error"]]
    if errors and (why := error_line(errors[-1])):
        yield why


@contextmanager
def open_view(out: Console) -> Iterator[FollowView]:
    """A picture on a terminal, lines elsewhere."""
    if not out.is_terminal:
        yield LineView(out)
        return
    board = LiveView()
    with Live(board, console=out, refresh_per_second=12.5):
        yield board


# -- following --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Followed:
    """A run as it was told last. `is_over`: it has ended or is paused; otherwise somebody stopped looking."""

    told: Document
    is_over: bool


async def follow(running: OverApi, run: str, stopping: asyncio.Event, view: FollowView) -> Followed:
    """Show a run until it is over or `stopping` is set."""
    pause = FIRST_PAUSE
    while True:
        try:
            told = await running.get_run(run)
        except httpx.TransportError:
            raise CommandFailed(
                f"the service at {running.url} answers no more; {run} goes on when it is back: `waypost show {run}`",
                NOT_READY,
            ) from None
        view.show(told)
        if told["status"] in ENDED or stopping.is_set():
            return Followed(told, is_over=told["status"] in ENDED)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
