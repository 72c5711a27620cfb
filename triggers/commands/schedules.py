"""`waypost schedules`: when each schedule fired, when it will fire, and what it missed, in this machine's zone."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from triggers.commands.ask import ask_reader
from triggers.commands.output import format_time, open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.documents.schedules import FireDocument, ScheduleDocument

OUTCOME_STYLES = {"started": "green", "skipped": "yellow", "missed": "red"}


def schedules(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = ask_reader(config, data, lambda reader: reader.list_schedules())
    print_json(found) if as_json else print_schedules(open_console(), found)


def print_schedules(out: Console, found: Iterable[ScheduleDocument]) -> None:
    """A line a schedule."""
    columns = ("SCHEDULE", "WHEN", "LAST", "RUN", "NEXT", "MISSED")
    print_table(out, columns, map(_make_row, found), fold="WHEN")


def _make_row(schedule: ScheduleDocument) -> tuple[str | Text, ...]:
    last, coming = schedule.last, schedule.next
    return (
        schedule.id,
        _format_times(schedule),
        _format_last(last),
        (last.run if last else None) or "",
        _format_minute(coming[0]) if coming else "",
        _format_missed(schedule),
    )


def _format_times(schedule: ScheduleDocument) -> str:
    if schedule.every:
        return f"every {schedule.every}"
    return f"{schedule.cron or schedule.at} {schedule.timezone}"


def _format_last(last: FireDocument | None) -> Text:
    if not last:
        return Text()
    return Text.assemble(
        f"{_format_minute(last.fire)} ", (last.outcome or "", OUTCOME_STYLES.get(last.outcome or "", ""))
    )


def _format_missed(schedule: ScheduleDocument) -> Text:
    parts = [str(schedule.missed)]
    if schedule.missed_at:
        parts.append(f"the last {_format_minute(schedule.missed_at)}")
    if schedule.overdue:
        parts.append(f"overdue since {_format_minute(schedule.overdue)}")
    return Text(", ".join(parts), "red" if len(parts) > 1 else "")


def _format_minute(at: str) -> str:
    return format_time(at)[:19]
