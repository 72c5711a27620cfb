"""`waypost show`: why a run is as it is, what it was given and gave, and its steps, those to look at first."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from durable.history.words import StepStatus
from durable.wording import count_things, make_printable
from triggers.commands import next_steps
from triggers.commands.ask import ask_reader_about
from triggers.commands.history import print_history
from triggers.commands.output import (
    format_counts,
    format_error,
    format_items,
    format_json,
    format_pages,
    format_span,
    format_time,
    open_console,
    print_fields,
    print_json,
    print_value,
    style_status,
)
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, OfPipeline, RunId, parse_choice
from triggers.documents.runs import (
    FailureDocument,
    OmittedDocument,
    RetriedDocument,
    RunDocument,
    StepDocument,
    UndoDocument,
)
from triggers.reading.reader import Reader

LONGEST = 400
"""Characters of a value that are shown on a terminal."""

SHOWN = 30
"""Steps that are shown unless more are asked for."""

ALL = "all"
VALUES = ("inputs", "outputs", "answer", "error", "cleanup_error", "reason")
STEP_FIELDS = ("input", "output", "error", "due_at")

Steps = Annotated[
    str | None, typer.Option("--steps", metavar="all|STATUS", help="Show all steps, or all with this status.")
]
Step = Annotated[str | None, typer.Option("--step", metavar="PATH", help="Show one step in full.")]
WholeValue = Annotated[
    str | None,
    typer.Option("--value", metavar="NAME", help=f"Print one value as JSON: {', '.join(VALUES[:-1])} or {VALUES[-1]}."),
]
WithHistory = Annotated[bool, typer.Option("--history", help="Also show the history.")]


def show(
    run: RunId,
    pipeline: OfPipeline = None,
    steps: Steps = None,
    step: Step = None,
    value: WholeValue = None,
    history: WithHistory = False,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    out = open_console()
    wanted = parse_choice((ALL, *get_args(StepStatus)), steps, "--steps")
    part = parse_choice(VALUES, value, "--value")

    async def answer(reader: Reader, run: str) -> None:
        if part:
            found = await reader.get_run_part(run, part)
            print_json(found) if as_json else print_value(out, found)
        elif step is not None:
            one = await reader.get_step(run, step)
            print_json(one) if as_json else _print_step(out, run, one)
        elif as_json:
            print_json(await _collect(reader, run, wanted, has_history=history))
        else:
            await _print(out, reader, run, wanted, has_history=history)

    ask_reader_about(config, data, run, answer, pipeline=pipeline)


async def _collect(reader: Reader, run: str, steps: str | None, *, has_history: bool) -> Mapping[str, Any]:
    """A run as JSON, with the steps that are asked for."""
    document: dict[str, Any] = msgspec.to_builtins(await reader.get_run(run))
    if steps:
        pages = [page async for page in reader.read_steps(run, **_filter_steps(steps))]
        document |= {"steps": [step for page in pages for step in page], "steps_after": None}
    if has_history:
        document["history"] = [entry async for page in reader.read_history(run) for entry in page]
    return document


def _filter_steps(wanted: str) -> dict[str, str]:
    """The filters for all steps, in the order in which they were reached, or for those with a status."""
    return {"order": "time"} | ({} if wanted == ALL else {"status": wanted})


async def _print(out: Console, reader: Reader, id: str, steps: str | None, *, has_history: bool) -> None:
    run = await reader.get_run(id)
    print_run(out, run, reader.url)
    out.print(Text("\nSteps", "bold"))
    if steps:
        async for page in reader.read_steps(id, **_filter_steps(steps)):
            for each in page:
                _print_step(out, id, each)
    else:
        for each in run.steps[:SHOWN]:
            _print_step(out, id, each)
        _print_rest(out, run)
    _print_undo(out, run)
    if has_history:
        out.print(Text("\nHistory", "bold"))
        await print_history(out, reader, id)


def print_run(out: Console, run: RunDocument, here: str | None) -> None:
    """A run without its steps: why it is as it is, what to do next, what it was given and gave. `here` is where the
    running service is reached."""
    out.print(Text.assemble((run.id, "bold"), f"  {run.pipeline}  ", style_status(run.status)))
    print_fields(out, _list_causes(out, run))
    _print_waits(out, run, here)
    print_fields(out, _list_run_fields(out, run))


def _list_causes(out: Console, run: RunDocument) -> Iterator[tuple[str, str | Text | None]]:
    """Why it is as it is."""
    if run.error:
        yield "failed", Text(format_error(run.error, with_step=True), "red")
        yield from _list_error_fields(out, run.error)
    else:
        yield "why", _format_value(out, run.why)
    if run.cleanup_error:
        yield "cleanup", Text(f"`on_failure` itself failed: {format_error(run.cleanup_error, with_step=True)}", "red")
    for name in ("error", "cleanup_error", "reason"):
        if name in run.omitted:
            yield "", _describe_omitted(run.omitted[name], f"waypost show {run.id} --value {name}")
    if run.error and run.error.step:
        yield "see", make_printable(f"waypost show {run.id} --step {shlex.quote(run.error.step)}")
    for number, (command, what) in enumerate(next_steps.list_repairs(run)):
        yield "" if number else "next", f"{command}  ({what})"


def _list_error_fields(out: Console, error: FailureDocument) -> Iterator[tuple[str, str | None]]:
    yield "code", make_printable(error.code) if error.code else None
    yield "attempt", str(error.attempt) if error.attempt else None
    yield "details", _format_value(out, error.details)


def _list_run_fields(out: Console, run: RunDocument) -> Iterator[tuple[str, str | None]]:
    yield "version", run.version[:12]
    yield "trigger", run.trigger
    yield "event", run.event
    yield "trace", run.trace
    yield "started", format_time(run.created_at)
    if run.finished_at:
        took = format_span(run.created_at, run.finished_at)
        yield "finished", f"{format_time(run.finished_at)}, after {took}"
    if run.parent:
        yield "called by", f"{run.parent.run} {run.parent.step}"
    if run.source:
        yield run.source.kind, f"of {run.source.of}{_describe_source(run)}"
    if run.retried:
        yield "retried", _describe_retry(run.retried)
    for repeat in run.repeats:
        yield "repeated", f"{repeat.run} {repeat.status} ({repeat.kind or 'unknown'})"
    for child in run.children:
        yield "called", f"{child.run} {child.status or 'not begun'} ({child.step})"
    if more := run.children_count - len(run.children):
        yield "", f"and {count_things(more, 'more run')}: `waypost show {run.id} --steps all` names them"
    if run.status == "queued" and run.not_before:
        yield "begins", format_time(run.not_before)
    for name in ("inputs", "outputs"):
        yield name, _format_value(out, getattr(run, name))
        if name in run.omitted:
            yield name, _describe_omitted(run.omitted[name], f"waypost show {run.id} --value {name}")


def _describe_source(run: RunDocument) -> str:
    source = run.source
    parts = (source.step, f"by {source.by}" if source.by else None, source.reason) if source else ()
    return "".join(f", {make_printable(part)}" for part in parts if part)


def _describe_retry(retried: RetriedDocument) -> str:
    times = f"{count_things(retried.times, 'time')}, last " if retried.times > 1 else ""
    parts = (f"by {retried.by}" if retried.by else None, retried.reason)
    return f"{times}{format_time(retried.at)}" + "".join(f", {make_printable(part)}" for part in parts if part)


def _describe_omitted(omitted: OmittedDocument, command: str) -> str:
    return f"({omitted.size:,} bytes: `{make_printable(command)}` prints all of it)"


def _print_waits(out: Console, run: RunDocument, here: str | None) -> None:
    """What it waits for, and what to do next."""
    waits: list[next_steps.AnyWait] = [*run.waits, *next_steps.list_decisions(run)]
    if waits:
        out.print(Text("\nWaits", "bold"))
    for wait in waits:
        out.print(Text.assemble("  ", (wait.step or run.id, "bold")))
        print_fields(out, next_steps.describe_wait(wait, run.id, here), indent=4)
    if more := run.waits_count - len(run.waits):
        out.print(f"  and {count_things(more, 'more wait')}: `waypost waits {run.id}` lists all of them")
    if waits:
        out.print()


def _print_undo(out: Console, run: RunDocument) -> None:
    """What became of effects that an undo takes back."""
    undone = [(undo.step, _describe_undo(undo)) for undo in run.undo]
    if undone:
        out.print(Text("\nUndo", "bold"))
        print_fields(out, undone)
    if more := run.undo_count - len(run.undo):
        out.print(f"  and {more:,} more: `waypost show {run.id} --steps all` names them", soft_wrap=True)


def _describe_undo(undo: UndoDocument) -> str:
    words = {"registered": "can be taken back", "chosen": "is being taken back", "done": "was taken back"}
    reason = format_error(undo.error) if undo.error else ""
    return words.get(undo.status) or f"could not be taken back: {reason}"


# -- steps ------------------------------------------------------------------------------------------------------


def _print_step(out: Console, run: str, step: StepDocument) -> None:
    took = format_span(step.scheduled_at, step.finished_at)
    lost = f" ({step.lost} lost)" if step.lost else ""
    attempts = count_things(step.attempts, "attempt") + lost if step.attempts else ""  # a block has none
    items = format_items(step.items) if step.items else ""
    pages = format_pages(step.pages, step.status) if step.pages else ""
    copied = "copied" if step.copied else ""
    connection = f"connection {step.connection}" if step.connection else ""
    notes = "  ".join(note for note in (attempts, items, pages, took, copied, connection) if note)
    out.print(Text.assemble("  ", (step.path, "bold"), "  ", style_status(step.status), f"  {notes}".rstrip()))
    print_fields(out, _list_step_fields(out, run, step), indent=4)


def _list_step_fields(out: Console, run: str, step: StepDocument) -> Iterator[tuple[str, str | None]]:
    command = f"waypost show {run} --step {shlex.quote(step.path)}"
    for name in STEP_FIELDS:
        yield name, _format_value(out, getattr(step, name))
        if name in step.omitted:
            yield name, _describe_omitted(step.omitted[name], command)
    yield from ((f"attempt {each.attempt}", format_error(each.error)) for each in step.tries if each.error)
    if "tries" in step.omitted:
        yield "attempts", _describe_omitted(step.omitted["tries"], command)
    if step.called:
        yield "called", f"{step.called.run} {step.called.status or 'not begun'}"
    if step.undo:
        yield "undo", _describe_undo(step.undo)


def _print_rest(out: Console, run: RunDocument) -> None:
    """How many steps are not shown, and how to see them."""
    total = sum(run.step_counts.values())
    if (rest := total - min(SHOWN, len(run.steps))) > 0:
        what = f"and {count_things(rest, 'more step')} of {total:,} ({format_counts(run.step_counts)})"
        out.print(f"  {what}: `waypost show {run.id} --steps all` or `--steps STATUS` shows them", soft_wrap=True)


def _format_value(out: Console, value: object) -> str | None:
    """A value in a line; on a terminal a long one is shortened, and says where the whole of it is."""
    if value is None:
        return None
    text = make_printable(value) if isinstance(value, str) else format_json(value)
    if out.is_terminal and len(text) > LONGEST:
        return f"{text[:LONGEST]}… (--json prints all of it)"
    return text
