"""What a run waits for, and the command that goes on."""

import shlex
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from rich.console import Console
from rich.text import Text

from durable.path import find_step_path
from durable.wording import make_printable
from triggers.commands.output import format_time, print_fields
from triggers.documents.repairs import can_retry
from triggers.documents.runs import RunDocument
from triggers.documents.waits import PendingDocument, WaitDocument
from triggers.runs.why import AWAITED

AnyWait: TypeAlias = WaitDocument | PendingDocument

WAITED_FOR = {**AWAITED, "decision": "a decision", "resume": "a person to resume it"}
"""What a run waits for, by the kind of wait."""

NO_SERVICE = "no service is running now; the link works as soon as `waypost serve` runs with these settings"


def print_waits(out: Console, waits: Iterable[PendingDocument], here: str | None) -> None:
    """Print each wait with what to do next. `here` is the address of the running service."""
    found = list(waits)
    for wait in found:
        path = f"  {wait.step}" if wait.step else ""
        out.print(Text.assemble((wait.run, "bold"), f"  {wait.pipeline}{path}"), soft_wrap=True)
        print_fields(out, describe_wait(wait, wait.run, here))
    if not found:
        out.print("nothing waits for a person, an answer or an event")


def describe_wait(wait: AnyWait, run: str, here: str | None) -> Iterator[tuple[str, str | None]]:
    """The names and values that are printed for a wait."""
    yield "waits for", summarize_wait(wait)
    yield "to", make_printable(", ".join(wait.to)) or None
    yield "fields", ", ".join(map(make_printable, wait.fields)) if wait.fields else None
    reason = wait.reason if isinstance(wait, PendingDocument) else None
    yield "reason", make_printable(reason) if reason else None
    yield "link", wait.link
    yield "", NO_SERVICE if wait.link and here is None else None
    yield "next", suggest_command(wait, run)


def summarize_wait(wait: AnyWait) -> str:
    """What the wait is for, and until when, in a line."""
    named = f" ({wait.name})" if wait.name else ""
    what = WAITED_FOR[wait.kind]
    about = {"event": " ".join(filter(None, (wait.type, wait.match)))}.get(wait.kind, wait.title or "")
    until = f", until {format_time(wait.due_at)[:19]}" if wait.due_at else ""
    return make_printable(f"{what}{named}{': ' + about if about else ''}{until}")


def suggest_command(wait: AnyWait, run: str) -> str | None:
    """The command that answers a wait; None where only time ends it."""
    step = shlex.quote(wait.step or "")
    name = f" --name {shlex.quote(wait.name)}" if wait.name else ""
    match wait.kind:
        case "approval":
            return make_printable(f"waypost answer {run} {step}{name} --approve{_to_fill_in(wait)} | --reject")
        case "webhook":
            return f"waypost answer {run} {step}{name} --value JSON"
        case "event":
            subject = f" --subject {shlex.quote(wait.match)}" if wait.match else ""
            return make_printable(f"waypost emit {shlex.quote(wait.type or '')}{subject}")
        case "decision":
            return f"waypost resolve {run} {step} --completed JSON | --retry | --failed"
        case "resume":
            return f"waypost resume {run} | waypost fork {run} --newest"
    return None


def _to_fill_in(wait: AnyWait) -> str:
    """The options for the fields that an approval requires."""
    fields = wait.fields or {}
    required = [name for name, schema in fields.items() if not (isinstance(schema, dict) and "default" in schema)]
    return "".join(f" --field {shlex.quote(name)}=VALUE" for name in required)


def list_repairs(run: RunDocument) -> Iterator[tuple[str, str]]:
    """The commands that run a failed run again, each with what it does; none for one that was repeated with success."""
    if run.status != "failed":
        return
    if done := next((each.run for each in run.repeats if each.status == "completed"), None):
        yield f"waypost show {done}", "it was repeated, and that run completed"
        return
    error = run.error
    if error is None or can_retry(error.error_class, error.code):
        yield f"waypost retry {run.id}", "continue the same run from the failed step"
    if error and error.step:
        fork = make_printable(f"waypost fork {run.id} --step {shlex.quote(find_step_path(error.step))}")
        yield f"{fork} --newest", "start a new run from the failed step, on the newest version"
        yield f"{fork} --set NAME=VALUE", "start a new run from the failed step, with other input"
    yield f"waypost rerun {run.id}", "start a new run of the same event on the newest version"


def list_decisions(run: RunDocument) -> Iterator[PendingDocument]:
    """The decisions that a run needs of a person; the steps of its document begin with them."""
    steps = [step.path for step in run.steps if step.decision_needed]
    for path in steps:
        yield PendingDocument.make_decision(run.id, run.pipeline, None, path)
    if run.status == "paused" and not steps:
        yield PendingDocument.make_decision(run.id, run.pipeline, None)
