"""Following a run: poll the service and show the run as it goes, until it ends or a signal stops the follower."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import httpx
import msgspec
import typer
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from durable.wording import count_things
from triggers.commands import next_steps
from triggers.commands.failure import FAILED, NOT_READY, CommandFailed
from triggers.commands.output import (
    format_counts,
    format_error,
    format_items,
    format_pages,
    format_seconds,
    format_span,
    format_time,
    make_cuttable,
    open_console,
    print_value,
    style_status,
)
from triggers.documents.runs import RunDocument, StepDocument
from triggers.reading.client import ServiceClient

ENDED = frozenset({"completed", "failed", "cancelled", "paused"})
"""Statuses after which nothing more happens by itself."""

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds between two requests: short for a run that ends at once, and longer with every one."""


class FollowView(Protocol):
    """Shows a run, once for every answer about it."""

    def show(self, run: RunDocument) -> None: ...


def select_steps(run: RunDocument) -> list[StepDocument]:
    """The steps that a follower shows, in the order in which they began: all of a short run. In a long one, loops stand
    for what is inside them as long as nothing there needs attention."""
    shown = run.steps
    if run.steps_after:
        shown = [step for step in shown if "[" not in step.path or step.status in ("failed", "uncertain", "waiting")]
    return sorted(shown, key=lambda step: step.scheduled_at or step.finished_at or "")


class LineView:
    """A plain line whenever something of a step changes."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._printed: dict[str, str] = {}

    def show(self, run: RunDocument) -> None:
        if run.status not in ENDED:
            self._print("", f"{run.id} {run.status}")
        for step in select_steps(run):
            noted = "".join(f", {note}" for note in _list_notes(run, step))
            self._print(step.path, f"{step.path} {step.status}, {count_things(step.attempts, 'attempt')}{noted}")
        self._print("", f"{run.id} {run.status}")

    def _print(self, what: str, line: str) -> None:
        if self._printed.get(what) != line:
            self._printed[what] = line
            self._out.print(line, soft_wrap=True)


@dataclass
class LiveView:
    """A table of the run that changes in place; its clocks go on between two answers."""

    run: RunDocument | None = None

    def show(self, run: RunDocument) -> None:
        self.run = run

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.run:
            return
        run = self.run
        head = Text.assemble(
            (run.id, "bold"), f"  {run.pipeline}  ", style_status(run.status), f"  {_format_duration(run)}"
        )
        steps = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(4):
            steps.add_column(no_wrap=True)
        steps.add_column()
        for step in select_steps(run):
            attempts = count_things(step.attempts, "attempt") if step.attempts else ""  # a block has none
            note = "; ".join(_list_notes(run, step))
            steps.add_row(
                f"  {step.path}", style_status(step.status), attempts, _format_duration(step), make_cuttable(note)
            )
        rest = [Text(f"  … {format_counts(run.step_counts)} in all")] if run.steps_after else []
        yield Group(head, steps, *rest) if run.steps else head


def _format_duration(what: RunDocument | StepDocument) -> str:
    """How long a run or a step took, or how long it has been at it."""
    began = what.created_at if isinstance(what, RunDocument) else what.scheduled_at
    if what.finished_at or not began:
        return format_span(began, what.finished_at)
    return format_seconds(max(0.0, (datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds()))


def _list_notes(run: RunDocument, step: StepDocument) -> Iterator[str]:
    """How far a loop is; what a step that has not ended waits for, why, and what to do about it."""
    if step.items and step.status != "skipped":
        yield format_items(step.items)
    if step.pages:
        yield format_pages(step.pages, step.status)
    if step.status in ("completed", "skipped", "cancelled"):
        return
    waits = [wait for wait in run.waits if wait.step == step.path]
    if step.due_at and step.status == "waiting" and not waits:
        yield f"until {format_time(step.due_at)[11:]}"
    for wait in waits:
        yield f"waits for {next_steps.summarize_wait(wait)}"
        if wait.kind in ("approval", "webhook") and (command := next_steps.suggest_command(wait, run.id)):
            yield f"`{command}`"
    if step.error and (why := format_error(step.error)):
        yield why


@contextmanager
def open_view(out: Console) -> Iterator[FollowView]:
    """A table on a terminal, lines elsewhere."""
    if not out.is_terminal:
        yield LineView(out)
        return
    board = LiveView()
    with Live(board, console=out, refresh_per_second=12.5):
        yield board


# -- following --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FollowedRun:
    """The last answer about a run. `is_over`: it has ended or is paused; otherwise the follower was stopped."""

    run: RunDocument
    is_over: bool


async def follow(service: ServiceClient, id: str, stopping: asyncio.Event, view: FollowView) -> FollowedRun:
    """Show a run until it is over or `stopping` is set. The outputs of a run that is over are whole."""
    pause, tag = FIRST_PAUSE, None
    run: RunDocument | None = None
    while True:
        try:
            changed, tag = await service.get_run_if_changed(id, tag)
            if changed:
                run = changed
                view.show(run)
            assert run, "an answer without a document has a tag of an earlier one"
            if run.status in ENDED or stopping.is_set():
                return FollowedRun(await _complete_outputs(service, run), is_over=run.status in ENDED)
        except httpx.TransportError:
            raise CommandFailed(
                f"the service at {service.url} no longer responds; {id} continues when it is back: `waypost show {id}`",
                NOT_READY,
            ) from None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


async def _complete_outputs(service: ServiceClient, run: RunDocument) -> RunDocument:
    """The run with its outputs, if its document has left them out."""
    if "outputs" not in run.omitted:
        return run
    omitted = {name: part for name, part in run.omitted.items() if name != "outputs"}
    outputs = await service.get_run_part(run.id, "outputs")
    return msgspec.structs.replace(run, outputs=outputs, omitted=omitted)


# -- ending -----------------------------------------------------------------------------------------------------


async def follow_to_end(service: ServiceClient, id: str, stopping: asyncio.Event, *, is_quiet: bool) -> FollowedRun:
    """Show a run of the running service on standard error until it is over or `stopping` is set."""
    with open_view(Console(quiet=True) if is_quiet else open_console(err=True)) as view:
        followed = await follow(service, id, stopping, view)
    if not followed.is_over:
        print_left_behind(id, None)
    return followed


def print_left_behind(run: str, data: Path | None) -> None:
    """Print at once that the run goes on without its follower. `data` is the data folder of a service that ends now."""
    if data is None:
        line = f"{run} continues: `waypost show {run}` shows its progress, `waypost cancel {run}` ends it"
    else:
        line = f"{run} continues when a service runs on {data} again; another Ctrl-C exits without waiting for its step"
    open_console(err=True).print(line, soft_wrap=True)


def print_end(followed: FollowedRun, *, is_quiet: bool) -> None:
    """Print how the run ended, and exit with 1 unless it is completed."""
    run, err = followed.run, open_console(err=True)
    id, status = run.id, run.status
    if status == "completed" and not is_quiet and run.outputs is not None:
        print_value(open_console(), run.outputs)
    elif status == "failed":
        why = format_error(run.error, with_step=True) if run.error else "no reason was given"
        err.print(f"{id} failed: {why}; `waypost show {id}` shows details", style="red", soft_wrap=True)
    elif status != "completed" and followed.is_over:
        why = run.reason or "no reason was given"
        err.print(f"{id} is {status}: {why}; `waypost show {id}` shows details", style="yellow", soft_wrap=True)
    if status != "completed":
        raise typer.Exit(FAILED)
