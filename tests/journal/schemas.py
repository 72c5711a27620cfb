"""Journals of every version of the tables: `python -m tests.journal.schemas 0007` records that of one version.

A recording is made by a service with unfinished runs, as a crash leaves it. Its rows are put into the tables of the
version. A version that was released is not recorded again.
"""

import asyncio
import gzip
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config

from durable.journal.sqlite.database import SQLite
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.upgrade import MIGRATIONS
from tests.service.running import ENVIRONMENT, Running, running

JOURNALS = Path(__file__).parent.parent / "data" / "journals"

PIPELINES = {
    "shop": """
triggers:
  - id: hook
    use: webhook
    when: trigger.body.total > 0
    with: {path: /shop, verify: none, dedupe: {key: "{{ trigger.body.id }}"}}
steps:
  - {id: note, use: transform.set, with: {values: {total: "{{ trigger.body.total }}", text: "{{ trigger.body.text }}"}}}
outputs: {total: "{{ steps.note.output.total }}"}
""",
    "fails": "steps: [{id: stop, use: flow.fail, with: {message: no stock}}]",
    "asks": """
steps:
  - {id: before, use: transform.set, with: {values: {n: 1}}}
  - {id: ask, use: wait.webhook, timeout: 30d, on_timeout: fail}
outputs: {said: "{{ steps.ask.output.body }}", n: "{{ steps.before.output.n }}"}
""",
    "naps": "steps: [{id: nap, use: wait.delay, with: {for: 1h}}]",
    "calls": """
steps:
  - {id: call, use: flow.call, with: {pipeline: asks}}
outputs: {child: "{{ steps.call.output.n }}"}
""",
}

LARGE = "x" * 40_000
"""A text that is stored as a payload."""

KEYED = {**ENVIRONMENT, "WAYPOST_STORE_KEY": f"wpk_{'recorded' * 5}key"}
"""The environment of a service that can read the stored secret."""

RENAMED = {("deliveries", "headers"): b'{"data":{"content-type":"application/json"},"size":35}'}
"""Columns that later versions do not have, with a value for them."""


def read_recording(name: str, folder: Path) -> None:
    """Put the journal of a version into a data folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_bytes(gzip.decompress((JOURNALS / f"{name}.sqlite.gz").read_bytes()))


def list_recordings() -> list[str]:
    """The versions of which there is a journal."""
    return sorted(path.name.partition(".")[0] for path in JOURNALS.glob("*.sqlite.gz"))


async def _fill(service: Running) -> None:
    post = service.client.post
    await post("/hooks/shop", json={"id": "a", "total": 5, "text": LARGE})
    await post("/hooks/shop", json={"id": "a", "total": 5, "text": LARGE})
    await post("/hooks/shop", json={"id": "b", "total": 0, "text": ""})
    await post("/api/pipelines/fails/runs", json={"inputs": {}, "tags": ["odd"]})
    for pipeline in ("asks", "naps", "calls"):
        await service.start(pipeline)
    await post("/api/keys", json={"name": "ci", "scope": "read"})
    (await post("/api/secrets", json={"name": "CRM", "value": "stored-secret"})).raise_for_status()
    while not _is_settled(await service.client.get("/api/runs")):
        await asyncio.sleep(0.02)


def _is_settled(answer: object) -> bool:
    runs = answer.json()["runs"]  # type: ignore[attr-defined]
    statuses = sorted(run["status"] for run in runs)
    return statuses == ["completed", "failed", "waiting", "waiting", "waiting", "waiting"]


async def _record(place: Path) -> Path:
    """A journal of the newest version."""
    async with running(place, PIPELINES, KEYED) as service:
        await _fill(service)
        with (
            closing(sqlite3.connect(place / "data" / FILE_NAME)) as database,
            closing(sqlite3.connect(place / "copy")) as copy,
        ):
            database.backup(copy)
    return place / "copy"


def _make_journal(recorded: Path, version: str, folder: Path) -> Path:
    """Put recorded rows into the tables of a version, as far as it has their columns."""
    folder.mkdir()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with SQLite(folder).migrations().begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as database:
        database.execute("ATTACH ? AS recorded", [str(recorded)])
        database.execute("BEGIN")
        names = "SELECT name FROM {}sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        tables = {name for (name,) in database.execute(names.format(""))} - {"alembic_version"}
        for table in sorted(tables & {name for (name,) in database.execute(names.format("recorded."))}):
            _copy_rows(database, table)
        database.execute("COMMIT")
        database.execute("DETACH recorded")
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("VACUUM")
    return folder / FILE_NAME


def _copy_rows(database: sqlite3.Connection, table: str) -> None:
    ours = [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]
    theirs = {row[1] for row in database.execute(f"PRAGMA recorded.table_info({table})")}
    given = ", ".join(f'"{name}"' if name in theirs else "?" for name in ours)
    values = [RENAMED[table, name] for name in ours if name not in theirs]
    columns = ", ".join(f'"{name}"' for name in ours)
    database.execute(f"INSERT INTO main.{table} ({columns}) SELECT {given} FROM recorded.{table}", values)


def main(versions: list[str]) -> None:
    JOURNALS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        recorded = asyncio.run(_record(Path(place)))
        for version in versions:
            made = _make_journal(recorded, version, Path(place) / version)
            path = JOURNALS / f"{version}.sqlite.gz"
            path.write_bytes(gzip.compress(made.read_bytes(), mtime=0))
            print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
