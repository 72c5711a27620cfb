"""Schedules told for people, in this machine's time zone."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from rich.console import Console
from rich.text import Text

from triggers.commands.output import format_time, print_table

Document: TypeAlias = dict[str, Any]

TONES = {"started": "green", "skipped": "yellow", "missed": "red"}


def print_schedules(out: Console, found: Iterable[Document]) -> None:
    """A line a schedule."""
    columns = ("SCHEDULE", "WHEN", "LAST", "RUN", "NEXT", "MISSED")
    print_table(out, columns, map(_row, found), fold="WHEN")


def _row(schedule: Document) -> tuple[str | Text, ...]:
    last, coming = schedule["last"] or {}, schedule["next"]
    return (
        schedule["id"],
        _when(schedule),
        _last(last),
        last.get("run") or "",
        _short(coming[0]) if coming else "",
        _format_missed(schedule),
    )


def _when(schedule: Document) -> str:
    if schedule["every"]:
        return f"every {schedule['every']}"
    return f"{schedule['cron'] or schedule['at']} {schedule['timezone']}"


def _last(last: Document) -> Text:
    if not last:
        return Text()
    return Text.assemble(f"{_short(last['fire'])} ", (last["outcome"], TONES.get(last["outcome"], "")))


def _format_missed(schedule: Document) -> Text:
    told = [str(schedule["missed"])]
    if schedule["missed_at"]:
        told.append(f"the last {_short(schedule['missed_at'])}")
    if schedule["overdue"]:
        told.append(f"overdue since {_short(schedule['overdue'])}")
    return Text(", ".join(told), "red" if len(told) > 1 else "")


def _short(at: str) -> str:
    return format_time(at)[:19]
