"""Requests of benches to the API of a service, and reads of its data folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from durable.history.encoding import decode_entries
from durable.history.entries import AnyEntry
from durable.journal.sqlite.files import FILE_NAME
from tests.bench.targets import Service


async def start(service: Service, pipeline: str, **inputs: Any) -> str:
    """Start a run, and return its id."""
    answer = await _post(service, f"/api/pipelines/{pipeline}/runs", {"inputs": inputs})
    return str(answer["id"])


async def send_event(service: Service, **event: Any) -> None:
    """Send an event."""
    await _post(service, "/api/events", event)


async def _post(service: Service, path: str, document: object) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {(service.data / 'api.key').read_text().strip()}"}
    url = f"http://127.0.0.1:{service.port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
        answer = await client.post(path, json=document)
    answer.raise_for_status()
    document = answer.json()
    assert isinstance(document, dict)
    return document


def entries(data: Path, run: str) -> Iterator[AnyEntry]:
    """The history of a run that has ended."""
    with closing(sqlite3.connect(data / FILE_NAME)) as database:
        rows = database.execute("select entries from entries where run = ? order by sequence", [run])
        for (found,) in rows.fetchall():
            yield from decode_entries(found)


def size(data: Path) -> int:
    """Bytes of the journal's files."""
    return sum(file.stat().st_size for file in data.glob(f"{FILE_NAME}*"))
