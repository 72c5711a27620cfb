"""What `waypost top` shows: what needs a person, the numbers of a period, what runs now, and how pipelines do."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from durable.wording import count_things, make_printable
from triggers.commands.output import (
    STATUS_STYLES,
    format_seconds,
    format_time,
    make_cuttable,
)
from triggers.documents.overview import (
    AttentionDocument,
    AttentionKind,
    AttentionLineDocument,
    OverviewDocument,
    Period,
    PipelineGlanceDocument,
)
from triggers.documents.runs import RunLineDocument

GLYPHS = {
    "completed": "✓",
    "failed": "✕",
    "cancelled": "⊘",
    "running": "◐",
    "waiting": "◷",
    "queued": "⋯",
    "paused": "‖",
}
"""A sign for each status of a run."""

ATTENTION_SIGNS: dict[AttentionKind, tuple[str, str]] = {
    "journal": ("!", "bold red"),
    "failure": ("✕", "red"),
    "exhausted": ("✕", "red"),
    "uncertain": ("?", "magenta"),
    "paused": ("‖", "yellow"),
    "approval": ("◷", "yellow"),
    "file": ("!", "red"),
    "connection": ("!", "red"),
    "schedule": ("!", "yellow"),
    "rejected": ("!", "yellow"),
}
"""A sign for each kind of thing that needs a person, and its colour."""

COMMANDS: dict[AttentionKind, str] = {
    "journal": "waypost doctor",
    "approval": "waypost waits",
    "file": "waypost validate",
    "connection": "waypost connections",
    "schedule": "waypost schedules",
    "rejected": "waypost deliveries --outcome rejected",
}
"""The command that shows more of a kind, where it is not about a run."""

PERIODS: dict[Period, str] = {"hour": "Last hour", "day": "Last 24 hours", "week": "Last 7 days"}
BARS = " ▁▂▃▄▅▆▇█"
BARS_HEAD = "  %-6s  "
WIDEST = 200
"""The width, at most, of a line of bars."""

KEYS = "q quit · h d w period"

FIXED_LINES = 9
"""The lines beside those of the lists."""

SHORTEST_LIST = 2
"""The lines of a list on a screen that is too small for all."""


class TopSnapshot(msgspec.Struct, frozen=True):
    """What the service has answered."""

    url: str
    at: datetime
    overview: OverviewDocument
    attention: AttentionDocument
    running: list[RunLineDocument]


class TopView:
    """Renders the last snapshot within the height of the terminal; `problem` says why there is no newer one. Without a
    terminal, nothing is left out."""

    def __init__(self) -> None:
        self.snapshot: TopSnapshot | None = None
        self.problem: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.snapshot is None:
            yield Text(self.problem or "asking the service …")
            return
        height = options.max_height if console.is_terminal else None
        yield from _render(self.snapshot, self.problem, height, min(options.max_width, WIDEST))


def _render(shown: TopSnapshot, problem: str | None, height: int | None, width: int) -> Iterator[RenderableType]:
    lines, pipelines = shown.attention.lines, shown.overview.pipelines
    rooms = _share_lines(height, [2 * len(lines), len(shown.running), len(pipelines)])
    keys = "" if height is None else f"  {KEYS}"
    state = Text(problem, "red") if problem else Text(f"{shown.at.astimezone():%H:%M:%S}")
    yield make_cuttable(Text.assemble(("Waypost", "bold"), f"  {shown.url}  ", state, (keys, "dim")))
    yield from _render_attention(shown.attention, rooms[0])
    yield Text()
    yield from _render_numbers(shown.overview, width - len(BARS_HEAD % ""))
    yield Text()
    yield from _render_running(shown.running, rooms[1])
    yield from _render_pipelines(pipelines, rooms[2])


def _share_lines(height: int | None, wanted: Sequence[int]) -> list[int]:
    """Share the lines of a screen between lists, the first ones first; each gets at least a few."""
    if height is None:
        return list(wanted)
    left = max(height - FIXED_LINES, SHORTEST_LIST * len(wanted))
    rooms: list[int] = []
    for number, lines in enumerate(wanted, 1):
        rest = SHORTEST_LIST * (len(wanted) - number)
        rooms.append(min(lines, max(left - rest, SHORTEST_LIST)))
        left -= rooms[-1]
    return rooms


def _render_attention(attention: AttentionDocument, room: int) -> Iterator[RenderableType]:
    lines = attention.lines
    if not lines:
        yield Text("Nothing needs you", "green")
        return
    yield Text(f"Needs you ({len(lines)})", "bold")
    used = 0
    for number, line in enumerate(lines):
        rest = len(lines) - number
        if used + 1 >= room and rest > 1:
            yield Text(f"   … {rest} more: `waypost top --json` and the dashboard list all", "dim")
            return
        yield _render_attention_line(line)
        used += 1
        if used < room - (rest > 1):
            yield make_cuttable(Text(f"   `{_suggest_command(line)}`  {make_printable(line.detail or '')}", "dim"))
            used += 1


def _render_attention_line(line: AttentionLineDocument) -> Text:
    sign, style = ATTENTION_SIGNS[line.kind]
    since = f"  since {format_time(line.oldest)[5:16]}" if line.oldest else ""
    return make_cuttable(Text.assemble((f" {sign} ", style), make_printable(line.text), (since, "dim")))


def _suggest_command(line: AttentionLineDocument) -> str:
    """Return the command that shows more of it."""
    if line.kind in COMMANDS:
        return COMMANDS[line.kind]
    if line.kind == "failure" and line.error and line.count > 1:
        return f"waypost runs --error {line.error[:8]}"
    return f"waypost show {line.run}" if line.run else "waypost runs"


def _render_numbers(overview: OverviewDocument, width: int) -> Iterator[RenderableType]:
    started = [each.completed + each.failed + each.cancelled + each.unfinished for each in overview.columns]
    share = f" ({overview.failed / overview.started:.1%})" if overview.started else ""
    times = [
        f"p95 run {format_seconds(overview.p95_run_ms / 1000)}" if overview.p95_run_ms is not None else "",
        f"p95 to 202 {overview.p95_accept_ms:.1f} ms" if overview.p95_accept_ms is not None else "",
    ]
    yield make_cuttable(
        Text.assemble(
            (f"{PERIODS[overview.period]}  ", "bold"),
            f"{overview.started:,} runs  ",
            (f"{overview.failed:,} failed{share}", "red" if overview.failed else ""),
            *(f"  {each}" for each in times if each),
        )
    )
    yield Text.assemble(f"{BARS_HEAD % 'runs'}", _draw_bars(started, width, "cyan"))
    yield Text.assemble(f"{BARS_HEAD % 'failed'}", _draw_bars([each.failed for each in overview.columns], width, "red"))
    now = [f"{GLYPHS[status]} {count:,} {status}" for status, count in overview.unfinished.items() if count]
    in_flight = count_things(overview.attempts_in_flight, "attempt") + " in flight"
    yield make_cuttable(Text.assemble(("Now  ", "bold"), "  ".join([*now, in_flight])))


def _draw_bars(numbers: Sequence[int], width: int, style: str) -> Text:
    """A line of bars, each as high as its number, or as the sum of several if there are too many for the width. One
    that is not 0 can be seen."""
    size = -(-len(numbers) // width)
    if size > 1:
        numbers = [sum(numbers[max(0, end - size) : end]) for end in range(len(numbers), 0, -size)][::-1]
    most = max(numbers, default=0)
    heights = [-(-number * (len(BARS) - 1) // most) if most else 0 for number in numbers]
    return Text("".join(BARS[height] for height in heights), style)


def _render_running(runs: Sequence[RunLineDocument], room: int) -> Iterator[RenderableType]:
    if not runs or not room:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column()
    for run in runs[:room]:
        since = datetime.now(UTC) - datetime.fromisoformat(run.created_at) if run.created_at else None
        took = format_seconds(max(0.0, since.total_seconds())) if since is not None else ""
        sign = Text(f" {GLYPHS[run.status]} {run.id}", STATUS_STYLES.get(run.status, ""))
        table.add_row(sign, run.pipeline, took, make_cuttable(make_printable(run.why or "")))
    yield table
    yield Text()


def _render_pipelines(pipelines: Sequence[PipelineGlanceDocument], room: int) -> Iterator[RenderableType]:
    if not pipelines:
        yield Text("No run has started yet", "dim")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_row(Text("Pipelines", "bold"), Text("newest runs", "dim"), "", "")
    failing_first = sorted(pipelines, key=lambda each: 1.0 if each.success is None else each.success)
    for each in failing_first[:room]:
        newest = Text.assemble(
            *((GLYPHS[run.status], STATUS_STYLES.get(run.status, "")) for run in each.newest),
        )
        share = "" if each.success is None else f"{each.success:.1%}"
        p95 = "" if each.p95_ms is None else f"p95 {format_seconds(each.p95_ms / 1000)}"
        style = "red" if each.success is not None and each.success < 1 else ""
        table.add_row(f" {each.id}", newest, Text(share, style), p95)
    yield table
