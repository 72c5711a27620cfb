"""What the command line prints for people."""

import json
import shlex
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from durable import __version__
from durable.secrets import SecretMissing, fill
from triggers.folder import Folder
from triggers.hook import Hook
from triggers.signature import sign

if TYPE_CHECKING:
    from triggers.service import Service

SAMPLE_BODY = '{"name": "Ada"}'
WIDE = 200
"""Columns of what is written to a pipe, where nothing need be cut."""

TONES = {
    "completed": "green",
    "failed": "red",
    "uncertain": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "waiting": "cyan",
}


def announce(service: "Service") -> None:
    """Where the service listens, what it serves, and a request to try."""
    out = Console(highlight=False)
    out.print(f"Waypost {__version__} listens on [bold]{service.url}[/]")
    for hook in service.folder.hooks:
        methods = " ".join(sorted(hook.methods))
        out.print(
            f"  webhook   {methods} {service.url}/hooks{escape(hook.path)}   (pipeline {hook.definition.spec.id})"
        )
    where = service.key_file or "WAYPOST_API_KEY"
    out.print(f"  API key   {where}", soft_wrap=True)
    print_problems(service.folder)
    for hook in service.folder.hooks:
        if command := _curl(service, hook):
            out.print("Try it:")
            out.print(f"  {command}", markup=False, soft_wrap=True)
            break
    sys.stdout.flush()


def _curl(service: "Service", hook: Hook) -> str | None:
    """A signed request that the webhook takes, for schemes whose signature does not age."""
    scheme = hook.verifier.scheme
    if "{" in hook.path or "POST" not in hook.methods or scheme is None or getattr(scheme, "ts", None):
        return None
    try:
        secret = str(fill(None, hook.secrets[0], service.secrets)[0])
    except SecretMissing:
        return None
    headers = sign(scheme, secret, SAMPLE_BODY.encode(), 0, id="try-1")
    if scheme.kind == "token":
        return None  # it would print the secret itself
    given = [
        f"-H {shlex.quote(f'{name}: {value}')}"
        for name, value in {"content-type": "application/json", **headers}.items()
    ]
    return " ".join(["curl", "-X POST", f"{service.url}/hooks{hook.path}", *given, "-d", shlex.quote(SAMPLE_BODY)])


def print_problems(folder: Folder) -> None:
    """Every problem of the folder's files, with the line in question."""
    err = Console(stderr=True, highlight=False)
    for file in folder.files:
        for problem in file.problems:
            tone = "red" if problem.severity == "error" else "yellow"
            err.print(f"[{tone}]{escape(problem.render(file.line(problem.line)))}[/]", soft_wrap=True)


def print_runs(found: Iterable[dict[str, Any]]) -> None:
    """A line a run."""
    table = Table(box=None, pad_edge=False)
    for column in ("RUN", "PIPELINE", "STATUS", "STARTED", "TOOK"):
        table.add_column(column, no_wrap=True)
    for run in found:
        took = _between(run["created_at"], run["finished_at"])
        started = _moment(run["created_at"])[5:19]
        table.add_row(run["id"], run["pipeline"], _toned(run["status"]), started, took)
    out = Console(highlight=False)
    out.print(table, width=None if out.is_terminal else WIDE)


def print_run(run: dict[str, Any], history: Iterable[dict[str, Any]]) -> None:
    """A run for people: what happened to each step, then the history."""
    out = Console(highlight=False)
    out.print(f"[bold]{run['id']}[/]  {run['pipeline']}  {_toned(run['status'])}")
    _field(out, "version", run["version"][:12])
    _field(out, "trigger", run["trigger"])
    _field(out, "event", run["event"])
    _field(out, "started", _moment(run["created_at"]))
    if run["finished_at"]:
        _field(
            out, "finished", f"{_moment(run['finished_at'])}, after {_between(run['created_at'], run['finished_at'])}"
        )
    for name in ("reason", "inputs", "outputs", "error", "cleanup_error"):
        _field(out, name, run[name])
    out.print("\n[bold]Steps[/]")
    for path, step in run["steps"].items():
        _print_step(out, path, step)
    out.print("\n[bold]History[/]")
    for entry in history:
        _print_entry(out, entry)


def _print_step(out: Console, path: str, step: dict[str, Any]) -> None:
    took = _between(step["scheduled_at"], step["finished_at"])
    attempts = f"{step['attempts']} attempt{'s' if step['attempts'] != 1 else ''}"
    out.print(f"  [bold]{escape(path)}[/]  {_toned(step['status'])}  {attempts}  {took}")
    for name in ("input", "output", "error", "due_at"):
        _field(out, name, step[name], indent=4)
    for attempt in step["tries"]:
        if attempt["error"]:
            error = attempt["error"]
            _field(out, f"attempt {attempt['attempt']}", f"{error['class']}: {error['message']}", indent=4)


def _print_entry(out: Console, entry: dict[str, Any]) -> None:
    said = {name: value for name, value in entry.items() if name not in ("sequence", "at", "type")}
    details = _short(said, 100) if said else ""
    line = f"  {entry['sequence']:>4}  {_moment(entry['at'])}  {entry['type']:<16} {details}"
    out.print(line, markup=False, soft_wrap=True)


def _field(out: Console, name: str, value: Any, *, indent: int = 2) -> None:
    if value is not None:
        shown = value if isinstance(value, str) else _short(value, 400)
        out.print(f"{' ' * indent}{name:<10} {shown}", markup=False, soft_wrap=True)


def _short(value: Any, limit: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}… (--json prints all of it)"


def _toned(status: str) -> str:
    return f"[{TONES[status]}]{status}[/]" if status in TONES else status


def _moment(text: str | None) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if text else ""


def _between(start: str | None, end: str | None) -> str:
    if not start or not end:
        return ""
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return f"{seconds:.3f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
