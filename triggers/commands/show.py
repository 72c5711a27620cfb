"""`waypost show`: one run with its steps, attempts, values, errors and history."""

from collections.abc import Iterable, Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from durable.wording import make_printable
from triggers.commands import next_steps
from triggers.commands.ask import ask_reader_about
from triggers.commands.history import print_history
from triggers.commands.output import (
    format_count,
    format_error,
    format_json,
    format_span,
    format_time,
    open_console,
    print_fields,
    print_json,
    style_status,
)
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, OfPipeline, RunId
from triggers.documents.runs import EntryDocument, RunDocument, StepDocument, UndoDocument
from triggers.reading.reader import Reader

LONGEST = 400
"""Characters of a value that are shown on a terminal."""

RUN_FIELDS = ("why", "inputs", "outputs", "error", "cleanup_error")
STEP_FIELDS = ("input", "output", "error", "due_at")


def show(
    run: RunId, pipeline: OfPipeline = None, config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False
) -> None:
    found, entries, here = ask_reader_about(config, data, run, _get, pipeline=pipeline)
    print_json(msgspec.to_builtins(found) | {"history": entries}) if as_json else print_run(
        open_console(), found, entries, here
    )


async def _get(reader: Reader, run: str) -> tuple[RunDocument, list[EntryDocument], str | None]:
    return await reader.get_run(run), await reader.get_history(run), reader.url


def print_run(out: Console, run: RunDocument, history: Iterable[EntryDocument], here: str | None) -> None:
    """A run: what it was given and gave, what happened to each step, then the history; `here` is where the running
    service is reached."""
    out.print(Text.assemble((run.id, "bold"), f"  {run.pipeline}  ", style_status(run.status)))
    print_fields(out, _list_run_fields(out, run))
    _print_waits(out, run, here)
    out.print(Text("\nSteps", "bold"))
    for path, step in run.steps.items():
        _print_step(out, path, step)
    _print_undo(out, run.undo)
    out.print(Text("\nHistory", "bold"))
    print_history(out, history)


def _list_run_fields(out: Console, run: RunDocument) -> Iterator[tuple[str, str | None]]:
    yield "version", run.version[:12]
    yield "trigger", run.trigger
    yield "event", run.event
    yield "started", format_time(run.created_at)
    if run.finished_at:
        took = format_span(run.created_at, run.finished_at)
        yield "finished", f"{format_time(run.finished_at)}, after {took}"
    if run.parent:
        yield "called by", f"{run.parent.run} {run.parent.step}"
    for child in run.children:
        yield "called", f"{child.run} {child.status or 'not begun'} ({child.step})"
    if run.status == "queued" and run.not_before:
        yield "begins", format_time(run.not_before)
    for name in RUN_FIELDS:
        yield name, _format_value(out, getattr(run, name))


def _print_waits(out: Console, run: RunDocument, here: str | None) -> None:
    """What it waits for, and what to do next."""
    waits: list[next_steps.AnyWait] = [*run.waits, *next_steps.list_decisions(run)]
    if waits:
        out.print(Text("\nWaits", "bold"))
    for wait in waits:
        out.print(Text.assemble("  ", (wait.step or run.id, "bold")))
        print_fields(out, next_steps.describe_wait(wait, run.id, here), indent=4)


def _print_undo(out: Console, undos: Iterable[UndoDocument]) -> None:
    """What became of effects that an undo takes back."""
    undone = [(undo.step, _describe_undo(undo)) for undo in undos]
    if undone:
        out.print(Text("\nUndo", "bold"))
        print_fields(out, undone)


def _describe_undo(undo: UndoDocument) -> str:
    words = {"registered": "can be taken back", "chosen": "is being taken back", "done": "was taken back"}
    reason = format_error(undo.error) if undo.error else ""
    return words.get(undo.status) or f"could not be taken back: {reason}"


def _print_step(out: Console, path: str, step: StepDocument) -> None:
    took = format_span(step.scheduled_at, step.finished_at)
    attempts = format_count(step.attempts, "attempt") if step.attempts else ""  # a block has none
    out.print(Text.assemble("  ", (path, "bold"), "  ", style_status(step.status), f"  {attempts}  {took}".rstrip()))
    failed = [(f"attempt {each.attempt}", format_error(each.error)) for each in step.tries if each.error]
    print_fields(out, [*((name, _format_value(out, getattr(step, name))) for name in STEP_FIELDS), *failed], indent=4)


def _format_value(out: Console, value: object) -> str | None:
    """A value in a line; on a terminal a long one is shortened, and says where the whole of it is."""
    if value is None:
        return None
    text = make_printable(value) if isinstance(value, str) else format_json(value)
    if out.is_terminal and len(text) > LONGEST:
        return f"{text[:LONGEST]}… (--json prints all of it)"
    return text
