"""A journal of any version opens, its lists work, and its unfinished runs go on; an interrupted upgrade leaves the
old."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from durable.durations import parse_duration
from durable.journal.errors import DataFolderUnusable
from durable.journal.migrate import HEAD
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.upgrade import MIGRATIONS
from tests.journal.conftest import SQLitePlace
from tests.journal.schemas import KEYED, LARGE, PIPELINES, list_recordings, read_recording
from tests.journal.test_migrations import store_version
from tests.service.running import running
from tests.service.test_clock import Clock

pytestmark = pytest.mark.anyio


def read_newest_time(folder: Path) -> int:
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        newest: int = database.execute("SELECT max(created_at) FROM runs").fetchone()[0]
        return newest


def read_version(folder: Path) -> str:
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        version: str = database.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        return version


def test_there_is_a_journal_of_every_version_before_the_newest() -> None:
    versions = {path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")}
    assert versions - {HEAD} <= set(list_recordings())


@pytest.mark.parametrize("version", list_recordings())
async def test_a_journal_of_an_earlier_version_opens_and_its_runs_go_on(tmp_path: Path, version: str) -> None:
    read_recording(version, tmp_path / "data")
    clock = Clock()
    clock.offset = read_newest_time(tmp_path / "data") + parse_duration("1m") - clock()
    async with running(tmp_path, PIPELINES, KEYED, now=clock) as service:
        assert await service.service.journal.check_integrity() == []
        stored = [each for each in (await service.ask("/secrets"))["secrets"] if each["source"] == "store"]
        assert [(each["name"], each["doubts"]) for each in stored] == ([("CRM", [])] if version >= "0008" else [])
        runs = (await service.client.get("/api/runs")).json()["runs"]
        by_pipeline = {run["pipeline"]: run["id"] for run in reversed(runs)}
        assert len(runs) == 6
        documents = {name: await service.run(run) for name, run in by_pipeline.items()}
        assert documents["shop"]["status"] == "completed"
        assert documents["fails"]["error"]["message"] == "no stock"
        history = (await service.client.get(f"/api/runs/{by_pipeline['shop']}/history")).json()
        assert history["entries"][0]["type"] == "run_started"

        deliveries = (await service.client.get("/api/deliveries")).json()["deliveries"]
        assert sorted(each["outcome"] for each in deliveries) == ["accepted", "duplicate", "filtered"]
        again = (await service.client.post("/hooks/shop", json={"id": "a", "total": 5, "text": LARGE})).json()
        assert (again["duplicate"], again["runs"]) == (True, [by_pipeline["shop"]])

        for wait in (await service.client.get("/api/waits")).json()["waits"]:
            answer = {"data": {"body": "yes"}} if wait["link"] is None else {"body": "yes"}
            sent = await service.client.post(wait["link"], json=answer)
            assert sent.is_success, sent.text
        assert (await service.wait_for_end(by_pipeline["asks"]))["status"] == "completed"
        assert (await service.wait_for_end(by_pipeline["calls"]))["outputs"] == {"child": 1}
        clock.offset += parse_duration("2h")
        await service.service.recovery.sweep()
        assert (await service.wait_for_end(by_pipeline["naps"]))["status"] == "completed"
    assert read_version(tmp_path / "data") == HEAD


@pytest.mark.parametrize("version", list_recordings()[:1])
async def test_an_upgrade_that_is_killed_leaves_the_old_tables(tmp_path: Path, version: str) -> None:
    read_recording(version, tmp_path / "data")
    program = f"""
import os, signal
from pathlib import Path
from durable.journal.migrate import HEAD
from durable.journal.sqlite.database import SQLite
from durable.journal.upgrade import upgrade
with SQLite(Path({str(tmp_path / "data")!r})).migrations().begin() as connection:
    upgrade(connection, HEAD)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert read_version(tmp_path / "data") == version

    journal = await SQLitePlace(tmp_path / "data").open()
    assert len(await journal.list_runs()) == 6
    await journal.close()
    assert read_version(tmp_path / "data") == HEAD


async def test_a_journal_of_a_newer_version_is_not_changed(tmp_path: Path) -> None:
    await (await SQLitePlace(tmp_path).open()).close()
    store_version(tmp_path, "9999")
    before = (tmp_path / FILE_NAME).read_bytes()

    with pytest.raises(DataFolderUnusable, match="newer Waypost"):
        await SQLitePlace(tmp_path).open()

    assert (tmp_path / FILE_NAME).read_bytes() == before
