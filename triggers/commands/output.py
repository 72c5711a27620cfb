"""Printing: in colour and within the width of a terminal, plain and uncut in a pipe."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from durable.history.words import StepStatus
from durable.wording import count_things, make_printable
from triggers.documents.runs import FailureDocument, ItemsDocument, PagesDocument

GAP = 2
"""Blanks between two columns."""

FLEXIBLE = 12
"""The least width of a column that is cut or folded."""

UNBOUNDED = 1_000_000
"""The width of a pipe or a file, in which nothing is cut or folded."""

_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that JSON does not escape, though a terminal obeys them or they reorder the text on it."""

STATUS_STYLES = {
    "completed": "green",
    "failed": "red",
    "uncertain": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "waiting": "cyan",
    "error": "red",
    "warning": "yellow",
}


def open_console(*, err: bool = False) -> Console:
    """Standard output or standard error, without rich's markup."""
    out = Console(stderr=err, highlight=False, markup=False, emoji=False)
    if not out.file.isatty():
        out.width = UNBOUNDED
    return out


def print_json(document: object) -> None:
    """Print a document for programs."""
    typer.echo(format_json(document, indent=2))


def print_value(out: Console, value: object) -> None:
    """Print a value for people: the same JSON, in colour on a terminal."""
    out.print(JSONHighlighter()(format_json(value, indent=2)), soft_wrap=True)


def format_json(document: object, *, indent: int | None = None) -> str:
    """JSON without escapes for letters, and with escapes for what a terminal would obey."""
    text = json.dumps(msgspec.to_builtins(document), indent=indent, ensure_ascii=False)
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_table(
    out: Console, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, cut: str = "", fold: str = ""
) -> None:
    """Print rows under their columns' names. Where the terminal is too narrow the column `cut` is cut, or `fold` is
    folded; the others stay whole, and where that is too much, each row is printed as a block."""
    cells = [tuple(row) for row in rows]
    if out.is_terminal and _measure_width(columns, cells, {cut, fold}) > out.width:
        _print_blocks(out, columns, cells)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name not in (cut, fold), overflow="fold")
    for row in cells:
        table.add_row(*(make_cuttable(cell) if name == cut else cell for name, cell in zip(columns, row, strict=True)))
    print_plainly(out, table)


def print_more(shown: int, limit: int, most: int = 1_000) -> None:
    """Say that a list ends at its limit, where that may hide a part of it. It is no part of what a pipe gets."""
    if shown < limit:
        return
    more = f"`--limit {min(5 * limit, most)}` shows more" if limit < most else "filters show others"
    open_console(err=True).print(f"… {shown} are shown, which is the limit; {more}, if there are any", soft_wrap=True)


def _measure_width(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], flexible: set[str]) -> int:
    """The width of a table whose flexible columns have their least width."""
    widths = [
        FLEXIBLE if name in flexible else max(cell_len(str(text)) for text in (name, *cells))
        for name, *cells in zip(columns, *rows, strict=True)
    ]
    return sum(widths) + GAP * len(widths)


def _print_blocks(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    for first, *rest in rows:
        out.print(Text(str(first), "bold"), overflow="fold")
        print_fields(out, ((name.lower(), text) for name, text in zip(columns[1:], rest, strict=True) if str(text)))


def print_plainly(out: Console, shown: RenderableType) -> None:
    """Print a table or the like. In a pipe, its lines have no trailing blanks."""
    if out.is_terminal:
        out.print(shown)
        return
    with out.capture() as captured:
        out.print(shown)
    out.print("\n".join(line.rstrip() for line in captured.get().splitlines()), soft_wrap=True)


def is_cut(out: Console, rows: Iterable[Sequence[str | Text]]) -> bool:
    """Whether rows are wider than the terminal, so that their cuttable cells are cut."""
    columns = list(zip(*rows, strict=True))
    wide = sum(max(cell_len(str(cell)) for cell in column) for column in columns)
    return out.is_terminal and wide + GAP * (len(columns) - 1) > out.width


def print_fields(out: Console, pairs: Iterable[tuple[str, str | Text | None]], *, indent: int = 2) -> None:
    """Names and values beside each other, without those that are None; a long value is folded beside its name."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(min_width=indent + 10, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            grid.add_row(" " * indent + name, value)
    if grid.row_count:
        print_plainly(out, grid)


def style_status(status: str) -> Text:
    """A status in its colour."""
    return Text(status, STATUS_STYLES.get(status, ""))


def make_cuttable(cell: str | Text) -> Text:
    """A text that is cut where the line ends."""
    text = Text(cell) if isinstance(cell, str) else cell
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def format_error(error: FailureDocument, *, with_step: bool = False) -> str:
    """An error in a line."""
    parts = (error.step if with_step else None, error.error_class, error.message)
    return make_printable(": ".join(part for part in parts if part))


def format_time(text: str | None) -> str:
    """A time of the API in this machine's zone, with the offset of the zone unless it is UTC."""
    if not text:
        return ""
    return datetime.fromisoformat(text).astimezone().isoformat(" ", "milliseconds").removesuffix("+00:00")


def format_span(start: str | None, end: str | None) -> str:
    """The length of time between two times of the API; empty if one is not known."""
    if not start or not end:
        return ""
    return format_seconds((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def format_seconds(seconds: float) -> str:
    """A length of time, as text for people."""
    return f"{seconds:.3f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def format_items(items: ItemsDocument) -> str:
    """The items of a loop in a line, with the first that failed."""
    counts = ", ".join(f"{count:,} {status}" for status, count in items.counts.items())
    failed = ", ".join(f"[{number}]" for number in items.failed[:5])
    more = ", …" if len(items.failed) > 5 else ""
    total = f"{items.total:,} items" if items.total is not None else "turns"
    return f"{total}: {counts or 'none'}" + (f" (failed: {failed}{more})" if failed else "")


def format_pages(pages: PagesDocument, status: StepStatus) -> str:
    """How many pages of its output a step has, or which one comes next."""
    if status == "completed":
        return count_things(pages.arrived, "page")
    return f"page {pages.arrived + 1:,} ({count_things(pages.items, 'item')} so far)"


def format_counts(counts: Mapping[StepStatus, int]) -> str:
    """How many steps have each status, in a line."""
    return ", ".join(f"{count:,} {status}" for status, count in counts.items())
