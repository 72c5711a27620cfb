"""A service with a damaged or missing journal reports it where operators and their tools look."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from durable.journal.sqlite.files import FILE_NAME
from durable.journal.sqlite.folder import LOCK_NAME
from tests.service.gates import begin
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

SET = "steps:\n  - {id: a, use: transform.set, with: {values: {n: 1}}}\n"


async def _ready(service: Running) -> tuple[int, str]:
    answer = await service.client.get("/ready")
    return answer.status_code, str(answer.json().get("reason"))


def _damage_entries(folder: Path) -> None:
    """Flip the first bytes of each page that holds entries."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((folder / FILE_NAME).read_bytes())
    for start in range(4096, len(data), 4096):
        if b'"type":"run_started"' in data[start : start + 4096] and data[start] == 0x0D:
            data[start : start + 8] = bytes(byte ^ 0xFF for byte in data[start : start + 8])
    (folder / FILE_NAME).write_bytes(data)


async def test_a_read_that_meets_damage_makes_the_service_unready(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": SET}) as service:
        run = await begin(service, "p")
        await service.wait_for_end(run)
    _damage_entries(tmp_path / "data")
    async with running(tmp_path, {"p": SET}) as service:
        assert (await _ready(service))[0] == 200, "the process before it ended cleanly"
        answer = await service.client.get(f"/api/runs/{run}")
        assert answer.status_code == 503
        assert "the journal is damaged" in answer.json()["detail"]
        status, reason = await _ready(service)
        assert status == 503
        assert "restore a backup" in reason


async def test_a_service_that_finds_damage_after_a_kill_is_not_ready(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": SET}) as service:
        await service.wait_for_end(await begin(service, "p"))
        shutil.copytree(tmp_path / "data", tmp_path / "killed" / "data")
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "killed" / "data").rename(tmp_path / "data")
    _damage_entries(tmp_path / "data")
    assert "closed" not in json.loads((tmp_path / "data" / LOCK_NAME).read_text())
    async with running(tmp_path, {"p": SET}) as service:
        await service.service.journal.check_after_crash()
        status, reason = await _ready(service)
        assert status == 503
        assert "restore a backup" in reason


async def test_a_disk_without_room_for_a_delivery_makes_the_service_unready(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": SET}) as service:
        assert (await _ready(service))[0] == 200
    free = shutil.disk_usage(tmp_path).free
    async with running(tmp_path, {"p": SET}, max_body_bytes=free) as service:
        status, reason = await _ready(service)
        assert status == 503
        assert "no room" in reason
