"""`waypost delivery`: one request on a webhook, what became of it, and how to send or replay it."""

import shlex
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from durable.wording import make_printable
from triggers.commands.ask import ask_reader_about
from triggers.commands.deliveries import style_outcome
from triggers.commands.output import format_json, format_time, open_console, print_fields, print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data, DeliveryId
from triggers.documents.deliveries import DeliveryDetailsDocument, DeliveryHeaderDocument, DeliveryRunDocument
from triggers.reading.reader import Reader

DUMPED = 256
"""Bytes of a file that are shown in hex."""

LINE = 16
"""Bytes in a line of hex."""

HERE = "http://127.0.0.1:8400"

OWN_HEADERS = frozenset({"host", "content-length", "connection", "accept-encoding", "transfer-encoding"})
"""Headers that `curl` makes itself."""

Raw = Annotated[bool, typer.Option("--raw", help="Write only the bytes of the body.")]
Curl = Annotated[bool, typer.Option("--curl", help="Print a curl command that sends the request again.")]
Shown = Annotated[int, typer.Option("--show", min=0, help="The maximum number of characters of the body.")]


def delivery(
    delivery: DeliveryId,
    raw: Raw = False,
    curl: Curl = False,
    shown: Shown = 4_000,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if sum((raw, curl, as_json)) > 1:
        raise typer.BadParameter("use one of --raw, --curl and --json", param_hint="'--raw'")

    async def answer(reader: Reader, id: str) -> None:
        if raw:
            await _write_body(reader, id)
            return
        found = await reader.get_delivery(id)
        if as_json:
            print_json(found)
        elif curl:
            typer.echo("\n".join(_make_curl(found, reader.url or HERE)))
        else:
            await _print(open_console(), reader, found, shown)

    ask_reader_about(config, data, delivery, answer, kind="delivery")


async def _write_body(reader: Reader, id: str) -> None:
    body = await reader.get_delivery_body(id)
    sys.stdout.buffer.write(body.data)
    sys.stdout.buffer.flush()
    if body.is_redacted:
        typer.echo("waypost: a secret in the body was replaced by ***; a replay uses the bytes as received", err=True)


async def _print(out: Console, reader: Reader, found: DeliveryDetailsDocument, shown: int) -> None:
    out.print(Text.assemble((found.id, "bold"), f"  {found.trigger}  ", style_outcome(found.outcome)))
    print_fields(out, _list_fields(found))
    out.print(Text("\nRequest", "bold"))
    query = f"?{found.query}" if found.query else ""
    print_lines(out, [f"{found.method} {found.path}{query}", *map(_format_header, found.headers)])
    what = f"\nBody  {found.size:,} bytes" + (f", sha256 {found.body_hash}" if found.body_hash else "")
    out.print(Text(what, "bold"), soft_wrap=True)
    print_lines(out, await _format_body(reader, found, shown))
    out.print(Text("\nNext", "bold"))
    print_lines(out, _suggest_next(found))


def print_lines(out: Console, lines: list[str]) -> None:
    """Print lines that are indented, uncut, and without what a terminal would obey."""
    for line in lines:
        out.print(Text(f"  {make_printable(line)}"), soft_wrap=True)


def _list_fields(found: DeliveryDetailsDocument) -> Iterator[tuple[str, str | None]]:
    yield "at", format_time(found.at)
    yield "reason", make_printable(found.reason) if found.reason else None
    yield "event", found.event
    yield "runs", _format_runs(found.runs) or _explain_no_runs(found)
    yield "replays", _format_runs(found.replays)
    yield "not kept", found.absence


def _format_runs(runs: list[DeliveryRunDocument]) -> str | None:
    return ", ".join(f"{run.id} {run.status} ({run.pipeline})" for run in runs) or None


def _explain_no_runs(found: DeliveryDetailsDocument) -> str | None:
    """Why a delivery whose event started runs has none."""
    had_runs = found.event is not None and found.outcome in ("accepted", "duplicate")
    return "none: retention has removed them" if had_runs else None


def _format_header(header: DeliveryHeaderDocument) -> str:
    if header.value is None:
        return f"{header.name}: (a credential, stored only as a hash: {header.hash})"
    return f"{header.name}: {header.value}"


async def _format_body(reader: Reader, found: DeliveryDetailsDocument, shown: int) -> list[str]:
    """The body as JSON or text, or the beginning of a file in hex."""
    if not found.kept or not found.size:
        return []
    if found.body is None:
        data = (await reader.get_delivery_body(found.id)).data
        lines = [data[start : start + LINE].hex(" ") for start in range(0, min(len(data), DUMPED), LINE)]
        return [*lines, _explain_rest(found)] if len(data) > DUMPED else lines
    text = found.body if isinstance(found.body, str) else format_json(found.body, indent=2)
    lines = text[:shown].splitlines()
    return [*lines, _explain_rest(found)] if len(text) > shown else lines


def _explain_rest(found: DeliveryDetailsDocument) -> str:
    return f"… (`waypost delivery {found.id} --raw` writes all {found.size:,} bytes)"


def _suggest_next(found: DeliveryDetailsDocument) -> list[str]:
    steps = [f"waypost show {run.id}" for run in found.runs[:1]]
    steps += [f"waypost retry {run.id}" for run in found.runs if run.status == "failed"][:1]
    if found.kept and found.outcome != "handshake":
        steps.append(f"waypost replay {found.id}")
    if found.kept:
        steps.append(f"waypost delivery {found.id} --curl")
    return steps or ["waypost deliveries"]


def _make_curl(found: DeliveryDetailsDocument, here: str) -> Iterator[str]:
    """A curl command. A credential has to be filled in; nobody can read it."""
    query = f"?{found.query}" if found.query else ""
    has_body = found.kept and found.size > 0
    if has_body:
        yield f"waypost delivery {found.id} --raw > {found.id}.body"
    parts = [f"curl -X {found.method} {shlex.quote(f'{here}{found.path}{query}')}"]
    for header in found.headers:
        if header.name not in OWN_HEADERS:
            value = "<THE CREDENTIAL>" if header.value is None else header.value
            parts.append(f"  -H {shlex.quote(make_printable(f'{header.name}: {value}'))}")
    if has_body:
        parts.append(f"  --data-binary @{found.id}.body")
    yield " \\\n".join(parts)
