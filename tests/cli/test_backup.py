"""Backup and restore as an operator uses them."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.cli.command import api, serving, until, waypost
from tests.cli.conftest import write

ASKS = """
steps:
  - {id: before, use: transform.set, with: {values: {n: 1}}}
  - {id: ask, use: wait.approval, with: {to: ops, title: Ship it?}, timeout: 1h, on_timeout: fail}
"""


def test_a_backup_of_a_running_service_goes_on_in_another_folder(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place):
        with api(place) as client:
            run = client.post("/api/pipelines/asks/runs", json={"inputs": {}}).json()["id"]
        until(place, run, "waiting")
        made = waypost("backup", "waypost.backup", cwd=place)
        assert made.returncode == 0, made.stderr
        assert "1 run (1 unfinished)" in made.stdout
        assert "api.key" in made.stdout
        assert stat.S_IMODE(os.stat(place / "waypost.backup").st_mode) == 0o600

    other = place / "other"
    other.mkdir()
    shutil.copytree(place / "config", other / "config")
    restored = waypost("restore", "../waypost.backup", cwd=other)
    assert restored.returncode == 0, restored.stderr
    assert "1 unfinished run will continue when the service starts" in restored.stdout
    assert "idempotency keys" in restored.stdout
    with serving(other):
        answered = waypost("answer", run, "ask", "--approve", cwd=other)
        assert answered.returncode == 0, answered.stderr
        steps = {step["path"]: step for step in until(other, run, "completed")["steps"]}
        assert steps["before"]["attempts"] == 1


@pytest.mark.slow
def test_the_backup_command_explains_what_it_refuses(place: Path) -> None:
    missing = waypost("backup", "b", cwd=place)
    assert (missing.returncode, "--data" in missing.stderr) == (3, True)
    assert waypost("run", "greet", "--input", "name=Ada", cwd=place).returncode == 0
    assert waypost("backup", "b", cwd=place).returncode == 0
    again = waypost("backup", "b", cwd=place)
    assert (again.returncode, "--force" in again.stderr) == (1, True)
    assert json.loads(waypost("backup", "b", "--force", "--json", cwd=place).stdout)["runs"] == 1
    assert waypost("backup", "config", cwd=place).returncode == 2
    assert waypost("backup", "nowhere/b", cwd=place).returncode == 2
    own = sorted((place / ".waypost").iterdir())
    for file in (*own, place / ".waypost" / "journal.sqlite-wal", place / ".waypost" / "b"):
        inside = waypost("backup", str(file), "--force", cwd=place)
        assert (inside.returncode, "data folder" in inside.stderr) == (2, True), file
    assert sorted((place / ".waypost").iterdir()) == own


@pytest.mark.slow
def test_the_restore_command_explains_what_it_refuses(place: Path) -> None:
    assert waypost("run", "greet", "--input", "name=Ada", cwd=place).returncode == 0
    assert waypost("backup", "b", cwd=place).returncode == 0
    full = waypost("restore", "b", cwd=place)
    assert (full.returncode, "--force" in full.stderr) == (3, True)
    with serving(place):
        busy = waypost("restore", "b", "--force", cwd=place)
        assert (busy.returncode, "in use" in busy.stderr) == (3, True)
    replaced = waypost("restore", "b", "--force", cwd=place)
    assert "The journal that was there is now" in replaced.stdout
    no_backup = waypost("restore", "config/pipelines/greet.yaml", "--data", "new", cwd=place)
    assert (no_backup.returncode, "is not a backup" in no_backup.stderr) == (1, True)
    assert waypost("restore", "nothing", "--data", "new", cwd=place).returncode == 1


def test_a_restore_says_that_a_bulk_goes_on(place: Path) -> None:
    with serving(place):
        with api(place) as client:
            held = {"delay": "1h", "inputs": {"name": "Ada"}}
            client.post("/api/pipelines/greet/runs/batch", json={"runs": [held] * 30}).raise_for_status()
        begun = waypost("cancel", "--all", "--yes", "--rate", "1", "--no-follow", cwd=place)
        assert begun.returncode == 0, begun.stderr
        assert json.loads(waypost("backup", "b", "--json", cwd=place).stdout)["running_bulks"] == 1
    restored = waypost("restore", "b", "--data", "other", cwd=place).stdout
    assert "1 running bulk will continue when the service starts" in restored
