"""Runs told for people: many in a list, and one with its steps and its history."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from durable.wording import make_printable
from triggers.commands import next_steps
from triggers.commands.output import (
    GAP,
    cut,
    format_count,
    format_span,
    format_time,
    is_cut,
    json_text,
    print_fields,
    print_plainly,
    print_table,
    style_status,
)

Document: TypeAlias = dict[str, Any]

LONGEST = 400
"""Characters of a value that are shown on a terminal."""

OUTCOMES = {"accepted": "green", "rejected": "red", "filtered": "yellow", "skipped": "yellow"}

OF_A_RUN = ("reason", "inputs", "outputs", "error", "cleanup_error")
OF_A_STEP = ("input", "output", "error", "due_at")


def print_runs(out: Console, found: Iterable[Document]) -> None:
    """A line a run."""
    columns = ("RUN", "PIPELINE", "STATUS", "STARTED", "TOOK")
    print_table(out, columns, (_row(run) for run in found), cut="PIPELINE")


def _row(run: Document) -> tuple[str | Text, ...]:
    started = format_time(run["created_at"])[5:19]
    return (
        run["id"],
        run["pipeline"],
        style_status(run["status"]),
        started,
        format_span(run["created_at"], run["finished_at"]),
    )


def print_run(out: Console, run: Document, history: Iterable[Document], here: str | None) -> None:
    """A run: what it was given and gave, what happened to each step, then the history; `here` is where the running
    service is reached."""
    out.print(Text.assemble((run["id"], "bold"), f"  {run['pipeline']}  ", style_status(run["status"])))
    print_fields(out, _of_the_run(out, run))
    _print_waits(out, run, here)
    out.print(Text("\nSteps", "bold"))
    for path, step in run["steps"].items():
        _print_step(out, path, step)
    _print_undo(out, run["undo"])
    out.print(Text("\nHistory", "bold"))
    print_history(out, history)


def _of_the_run(out: Console, run: Document) -> Iterator[tuple[str, str | None]]:
    yield "version", run["version"][:12]
    yield "trigger", run["trigger"]
    yield "event", run["event"]
    yield "started", format_time(run["created_at"])
    if run["finished_at"]:
        took = format_span(run["created_at"], run["finished_at"])
        yield "finished", f"{format_time(run['finished_at'])}, after {took}"
    if run["parent"]:
        yield "called by", f"{run['parent']['run']} {run['parent']['step']}"
    for child in run["children"]:
        yield "called", f"{child['run']} {child['status'] or 'not begun'} ({child['step']})"
    if run["status"] == "queued" and run["not_before"]:
        yield "begins", format_time(run["not_before"])
    for name in OF_A_RUN:
        yield name, _format_value(out, run[name])


def _print_waits(out: Console, run: Document, here: str | None) -> None:
    """What it waits for, and what to do next."""
    waits = [*run["waits"], *next_steps.list_decisions(run)]
    if waits:
        out.print(Text("\nWaits", "bold"))
    for wait in waits:
        out.print(Text.assemble("  ", (wait["step"] or run["id"], "bold")))
        print_fields(out, next_steps.describe_wait(wait, run["id"], here), indent=4)


def _print_undo(out: Console, undos: Iterable[Document]) -> None:
    """What became of effects that an undo takes back."""
    told = [(undo["step"], _describe_undo(undo)) for undo in undos]
    if told:
        out.print(Text("\nUndo", "bold"))
        print_fields(out, told)


def _describe_undo(undo: Document) -> str:
    said = {"registered": "can be taken back", "chosen": "is being taken back", "done": "was taken back"}
    return said.get(undo["status"]) or f"could not be taken back: {error_line(undo['error'])}"


def _print_step(out: Console, path: str, step: Document) -> None:
    took = format_span(step["scheduled_at"], step["finished_at"])
    attempts = format_count(step["attempts"], "attempt") if step["attempts"] else ""  # a block has none
    out.print(Text.assemble("  ", (path, "bold"), "  ", style_status(step["status"]), f"  {attempts}  {took}".rstrip()))
    failed = [(f"attempt {each['attempt']}", error_line(each["error"])) for each in step["tries"] if each["error"]]
    print_fields(out, [*((name, _format_value(out, step[name])) for name in OF_A_STEP), *failed], indent=4)


def print_history(out: Console, history: Iterable[Document]) -> None:
    """A line an entry; where one is cut, how to see all of it."""
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for name in ("sequence", "at", "type"):
        grid.add_column(justify="right" if name == "sequence" else "left", no_wrap=True)
    grid.add_column()
    rows = [_entry(out, entry) for entry in history]
    for row in rows:
        grid.add_row(*row)
    print_plainly(out, grid)
    if is_cut(out, rows):
        out.print("what ends with … is cut: --json prints all of it, and so does a pipe")


def _entry(out: Console, entry: Document) -> tuple[str | Text, ...]:
    said = {name: value for name, value in entry.items() if name not in ("sequence", "at", "type")}
    at = format_time(entry["at"])[11:] if out.is_terminal else format_time(entry["at"])
    return f"  {entry['sequence']}", at, entry["type"], cut(json_text(said)) if said else ""


def print_deliveries(out: Console, found: Iterable[Document]) -> None:
    """A line a delivery."""
    columns = ("DELIVERY", "WEBHOOK", "AT", "OUTCOME", "REASON")
    print_table(out, columns, (_delivery(each) for each in found), fold="REASON")


def _delivery(each: Document) -> tuple[str | Text, ...]:
    outcome = Text(each["outcome"], OUTCOMES.get(each["outcome"], ""))
    return each["id"], each["trigger"], format_time(each["at"])[5:19], outcome, make_printable(each["reason"] or "")


def error_line(error: Document, *, with_step: bool = False) -> str:
    """An error in a line."""
    said = (error["step"] if with_step else None, error["class"], error["message"])
    return make_printable(": ".join(part for part in said if part))


def _format_value(out: Console, value: object) -> str | None:
    """A value in a line; on a terminal a long one is shortened, and says where the whole of it is."""
    if value is None:
        return None
    text = make_printable(value) if isinstance(value, str) else json_text(value)
    if out.is_terminal and len(text) > LONGEST:
        return f"{text[:LONGEST]}… (--json prints all of it)"
    return text
