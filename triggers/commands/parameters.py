"""The arguments and options that several commands take, and what a shell completes for them."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import typer

from durable.durations import parse_duration
from triggers.commands.output import format_time
from triggers.instance import ADDRESS_FILE, KEY_FILE

CONFIG, DATA = Path("config"), Path(".waypost")

COMPLETION_TIMEOUT = 0.5
"""Seconds for which a shell waits for the service."""

Word = TypeVar("Word", bound=str)


def complete_pipeline_ids(context: typer.Context, incomplete: str) -> list[str]:
    """The pipeline ids that begin so, read from the files without checking them."""
    folder = _find_folder(context, "config", CONFIG) / "pipelines"
    files = sorted(path for path in folder.glob("*") if path.suffix in (".yaml", ".yml"))
    return [name for name in map(_read_id, files) if name.startswith(incomplete)]


def complete_run_ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest runs whose ids begin so, each with its pipeline and status; none without a running service."""
    found: list[tuple[str, str]] = []
    with suppress(OSError, ValueError, KeyError):
        found += _list_newest_runs(_find_folder(context, "data", DATA))
    return [(run, what) for run, what in found if run.startswith(incomplete)]


def _find_folder(context: typer.Context, name: str, default: Path) -> Path:
    return Path(context.params.get(name) or default)


def _read_id(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if found := re.search(r"^id:\s*[\"']?(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            return found[1]
    return path.stem


def _list_newest_runs(data: Path) -> Iterator[tuple[str, str]]:
    # The standard library's client: a shell that completes should not wait until httpx is imported.
    address = urlsplit(json.loads((data / ADDRESS_FILE).read_text())["url"])
    key = os.environ.get("WAYPOST_API_KEY") or (data / KEY_FILE).read_text().strip()
    connection = HTTPConnection(address.hostname or "", address.port, timeout=COMPLETION_TIMEOUT)
    connection.request("GET", "/api/runs?limit=50", headers={"Authorization": f"Bearer {key}"})
    for run in json.loads(connection.getresponse().read())["runs"]:
        yield run["id"], f"{run['pipeline']} {run['status']}"


Config = Annotated[Path, typer.Option("--config", envvar="WAYPOST_CONFIG", help="The config folder.")]
Data = Annotated[Path, typer.Option("--data", envvar="WAYPOST_DATA", help="The data folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PipelineId = Annotated[str, typer.Argument(help="The id of the pipeline.", autocompletion=complete_pipeline_ids)]
RunId = Annotated[
    str,
    typer.Argument(
        help="The run: its id, the beginning or the end of it, or `latest`.", autocompletion=complete_run_ids
    ),
]
PipelineFilter = Annotated[
    str | None, typer.Option("--pipeline", help="Only runs of this pipeline.", autocompletion=complete_pipeline_ids)
]
StatusFilter = Annotated[str | None, typer.Option("--status", help="Only runs with this status.")]
TagFilter = Annotated[str | None, typer.Option("--tag", help="Only runs with this tag.")]
TriggerFilter = Annotated[
    str | None,
    typer.Option(
        "--trigger", metavar="[PIPELINE/]TRIGGER", help="Only runs that this trigger started; `api` is the API."
    ),
]
ErrorFilter = Annotated[
    str | None, typer.Option("--error", metavar="KEY", help="Only runs with this error key of `waypost errors`.")
]
VersionFilter = Annotated[str | None, typer.Option("--version", help="Only runs of this version; a prefix is enough.")]
OutcomeFilter = Annotated[str | None, typer.Option("--outcome", help="Only deliveries with this outcome.")]
Reason = Annotated[str | None, typer.Option("--reason", help="The reason, shown with the run.")]
OfPipeline = Annotated[
    str | None,
    typer.Option(
        "--pipeline", help="With `latest`: the newest run of this pipeline.", autocompletion=complete_pipeline_ids
    ),
]
DeliveryId = Annotated[str, typer.Argument(help="The delivery: its id, the beginning or the end of it, or `latest`.")]
StepPath = Annotated[str, typer.Argument(help="The path of the step, as `waypost show` prints it.")]


def parse_choice(known: Sequence[Word], given: str | None, option: str) -> Word | None:
    """The known word that an option gives; raises `typer.BadParameter` for any other."""
    if given is None:
        return None
    for word in known:
        if word == given:
            return word
    raise typer.BadParameter(f"{given!r} is not one of {', '.join(known)}", param_hint=f"'{option}'")


Since = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Only those at or after a time: ISO 8601, or 2h for two hours ago."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only those before a time.")]


def parse_window(since: str | None, until: str | None) -> tuple[str | None, str | None]:
    """The times of `--from` and `--until`; raises `typer.BadParameter`, also if nothing can be between them."""
    start, end = _parse_time(since, "--from"), _parse_time(until, "--until")
    if start and end and datetime.fromisoformat(end) <= datetime.fromisoformat(start):
        shown = f"{format_time(end)[:19]} is not after --from, {format_time(start)[:19]}"
        raise typer.BadParameter(f"{shown}: nothing is between them", param_hint="'--until'")
    return start, end


def _parse_time(given: str | None, option: str) -> str | None:
    """The time that an option gives, with its zone: a time of this machine's zone, or how long ago, such as `2h`;
    raises `typer.BadParameter`."""
    if given is None:
        return None
    with suppress(ValueError):
        return (datetime.now(UTC) - timedelta(milliseconds=parse_duration(given))).isoformat()
    try:
        return datetime.fromisoformat(given).astimezone().isoformat()
    except (ValueError, OverflowError):
        what = f"{given!r} is neither a time such as 2027-01-31T18:00 nor a duration such as 2h"
        raise typer.BadParameter(what, param_hint=f"'{option}'") from None
