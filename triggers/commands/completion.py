"""What a shell completes: ids of pipelines, from their files, and of runs, from the service if it answers at once."""

# ruff: noqa: PLC0415  # only a shell that completes needs these

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

from triggers.commands.options import CONFIG, DATA
from triggers.instance import ADDRESS_FILE, KEY_FILE

SECONDS = 0.5
"""How long a shell may wait for the service."""


def pipeline_ids(context: typer.Context, incomplete: str) -> list[str]:
    """The ids that begin so, as the files say them, unchecked."""
    folder = _folder(context, "config", CONFIG) / "pipelines"
    files = sorted(path for path in folder.glob("*") if path.suffix in (".yaml", ".yml"))
    return [name for name in map(_id_in, files) if name.startswith(incomplete)]


def run_ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest runs whose ids begin so, each with its pipeline and status."""
    found: list[tuple[str, str]] = []
    with suppress(OSError, ValueError, KeyError):  # without a service there is nothing to offer
        found += _newest_runs(_folder(context, "data", DATA))
    return [(run, what) for run, what in found if run.startswith(incomplete)]


def _folder(context: typer.Context, name: str, default: Path) -> Path:
    return Path(context.params.get(name) or default)


def _id_in(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if said := re.search(r"^id:\s*[\"']?(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            return said[1]
    return path.stem


def _newest_runs(data: Path) -> Iterator[tuple[str, str]]:
    import os
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    address = urlsplit(json.loads((data / ADDRESS_FILE).read_text())["url"])
    key = os.environ.get("WAYPOST_API_KEY") or (data / KEY_FILE).read_text().strip()
    connection = HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
    connection.request("GET", "/api/runs?limit=50", headers={"Authorization": f"Bearer {key}"})
    for run in json.loads(connection.getresponse().read())["runs"]:
        yield run["id"], f"{run['pipeline']} {run['status']}"
