"""`waypost versions`: the versions of a pipeline that were served, the text of one, or how two differ."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from triggers.commands.ask import ask_reader
from triggers.commands.output import format_time, open_console, print_json, print_more, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, PipelineId
from triggers.documents.versions import VersionDocument, VersionTextDocument

SHORT = 12
"""The characters of a hash that are printed. Any unambiguous beginning is accepted."""

_COLORS = {"+": "green", "-": "red", "@": "cyan"}

Version = Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Compare this version with OTHER.")]
Other = Annotated[str, typer.Argument(metavar="[OTHER]", help="The version to compare with.")]


def versions(
    pipeline: PipelineId,
    version: Version = None,
    other: Other = "current",
    text: Annotated[bool, typer.Option("--text", help="Print VERSION in full instead.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="The maximum number of versions.")] = 20,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if version is None:
        found = ask_reader(config, data, lambda reader: reader.list_versions(pipeline, limit))
        if as_json:
            print_json(found)
        else:
            print_versions(open_console(), found)
            print_more(len(found), limit, 100)
        return
    wanted, against = version, None if text else other
    one = ask_reader(config, data, lambda reader: reader.get_version(pipeline, wanted, against))
    print_json(one) if as_json else print_version(open_console(), one)


def print_versions(out: Console, found: Sequence[VersionDocument]) -> None:
    """A line a version."""
    print_table(out, ("VERSION", "STORED", "", "RUNS"), map(_make_row, found), fold="RUNS")


def _make_row(version: VersionDocument) -> tuple[str | Text, ...]:
    counts = [f"{count} {status}" for status, count in sorted(version.runs.items())]
    more = ["and older ones"] if version.has_more_runs else []
    current = Text("current", "green") if version.is_current else ""
    return version.version[:SHORT], format_time(version.stored_at)[:19], current, ", ".join([*counts, *more]) or "none"


def print_version(out: Console, version: VersionTextDocument) -> None:
    """The text of a version, or its differences to another one."""
    if version.diff is None:
        out.print(version.text, soft_wrap=True, end="")
        return
    if not version.diff:
        out.print(f"{version.version[:SHORT]} and {(version.against or '')[:SHORT]} are the same version")
    for line in version.diff.splitlines():
        out.print(Text(line, _COLORS.get(line[:1], "")), soft_wrap=True)
