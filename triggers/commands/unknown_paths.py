"""Printing requests to paths that no webhook serves, for `waypost deliveries --unknown`."""

from collections.abc import Sequence

from rich.console import Console

from durable.wording import make_printable
from triggers.commands.output import format_time, print_table
from triggers.documents.unknown_paths import UnknownPathDocument


def print_unknown_paths(out: Console, found: Sequence[UnknownPathDocument]) -> None:
    """A line a path."""
    if not found:
        out.print("there were no requests to unknown paths")
        return
    columns = ("METHOD", "PATH", "REQUESTS", "FIRST", "LAST", "HINT")
    print_table(out, columns, map(_make_row, found), fold="HINT")
    out.print(
        "\nThese requests are not kept: correct the address at the sender, or the `path` of the webhook, and let the "
        "sender deliver them again",
        soft_wrap=True,
    )


def _make_row(path: UnknownPathDocument) -> tuple[str, ...]:
    first, last = format_time(path.first_at)[5:19], format_time(path.last_at)[5:19]
    return path.method, make_printable(path.path), str(path.count), first, last, make_printable(path.hint)
