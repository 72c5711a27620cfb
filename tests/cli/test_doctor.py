"""The findings of `waypost doctor`."""

import ctypes
import json
import os
import re
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import COMMAND, ENVIRONMENT, gate, serving, waypost
from tests.cli.conftest import write

AHEAD = 3_600_000


def _run_doctor(place: Path, *options: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = waypost("doctor", "--json", *options, cwd=place, **environment)
    assert "Traceback" not in done.stderr
    return done.returncode, {each["check"]: each for each in json.loads(done.stdout)}


@pytest.fixture
def port() -> Iterator[str]:
    """A port that another process occupies during the test."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


def test_a_healthy_installation_is_healthy_with_and_without_a_service(place: Path) -> None:
    shown = waypost("doctor", cwd=place, WAYPOST_PORT="0")
    assert shown.returncode == 0
    assert shown.stdout.endswith("no problems found\n")
    with serving(place) as (process, output):
        own = re.findall(r"http://127.0.0.1:(\d+)", output)[0]
        code, found = _run_doctor(place, WAYPOST_PORT=own)
        assert code == 0, found
        assert str(process.pid) in found["service"]["found"]
        assert found["port"]["found"].endswith("is used by the running service")
        assert f"the running service uses port {own}, not " in _run_doctor(place)[1]["port"]["found"]
        assert float(found["fsync"]["found"].split()[0]) > 0
        assert set(found) >= {"python", "sqlite", "settings", "pipelines", "secrets", "disk", "API key", "clock"}


def test_common_operator_mistakes_are_found_with_their_fixes(used: Path, port: str) -> None:
    write(used, "broken", "steps: 1\n")
    (used / ".waypost" / "api.key").chmod(0o644)
    (used / ".waypost").chmod(0o777)
    (used / ".waypost" / "journal.sqlite").chmod(0o644)
    code, found = _run_doctor(used, WAYPOST_PORT=port, WAYPOST_PROT="1", WAYPOST_SECRET_DEMO="")
    assert code == 1
    assert {name for name, each in found.items() if each["state"] == "wrong"} == {"pipelines", "API key", "port"}
    assert {name for name, each in found.items() if each["state"] == "warning"} == {
        "settings",
        "secrets",
        "data folder",
        "data files",
    }
    assert found["data files"]["cure"] == "chmod 600 .waypost/journal.sqlite"
    assert found["API key"]["cure"] == "chmod 600 .waypost/api.key"
    assert "another process" in found["port"]["found"]
    assert "broken.yaml" in found["pipelines"]["found"]
    assert found["secrets"]["found"] == "not set in this shell: DEMO"
    assert "set WAYPOST_SECRET_DEMO where the service starts, or in an --env-file" in found["secrets"]["cure"]
    assert "WAYPOST_PORT" in found["settings"]["found"]


@pytest.mark.parametrize(
    ("text", "state", "expected"),
    [
        (None, "ok", "there is none"),
        ("crm: {use: http, base_url: https://a.b}\n", "ok", "1 connection can be used"),
        (
            "crm: {use: http, base_url: 'https://{{ secrets.HOST }}'}\n",
            "warning",
            "1 connection can be used; config/connections.yaml:1:40: warning: the secret 'HOST' is not set in this",
        ),
        (
            "crm: {use: htp, base_url: https://a.b}\nstock: {use: http}\n",
            "wrong",
            "0 connections can be used; config/connections.yaml:1:12: error: there is no connector 'htp'",
        ),
        ("crm: [\n", "wrong", "config/connections.yaml:1:6: error: the '[' that begins here has no end"),
    ],
)
def test_problems_of_connections_are_found(place: Path, text: str | None, state: str, expected: str) -> None:
    if text:
        (place / "config" / "connections.yaml").write_text(text)
    code, found = _run_doctor(place, WAYPOST_PORT="0")
    assert code == (1 if state == "wrong" else 0)
    assert found["connections"]["state"] == state
    assert expected in found["connections"]["found"]
    assert (found["connections"]["cure"] is None) == (state == "ok")
    assert ("keeps the previous version" in str(found["connections"]["cure"])) == (state == "wrong")
    assert ("WAYPOST_SECRET_HOST" in str(found["secrets"]["cure"])) == (state == "warning")


def test_invalid_settings_do_not_hide_other_findings(place: Path) -> None:
    code, found = _run_doctor(place, WAYPOST_PORT="many")
    assert code == 1
    assert found["settings"]["state"] == "wrong"
    assert "WAYPOST_PORT" in found["settings"]["found"]
    assert found["disk"]["state"] == "ok"


def test_a_damaged_database_is_found_and_reported_by_commands_that_read_it(used: Path) -> None:
    path = used / ".waypost" / "journal.sqlite"
    whole = path.read_bytes()
    for damaged in (whole[:8192] + b"\xff" * 4096 + whole[12288:], b"not a database at all" * 100):
        path.write_bytes(damaged)
        code, found = _run_doctor(used, WAYPOST_PORT="0")
        assert code == 1
        assert found["journal"]["state"] == "wrong"
        assert "restore a backup" in found["journal"]["cure"]
    listed = waypost("runs", cwd=used)
    assert listed.returncode == 3
    assert "waypost doctor" in listed.stderr


def test_a_clock_set_back_is_found(used: Path) -> None:
    with sqlite3.connect(used / ".waypost" / "journal.sqlite") as journal:
        journal.execute("UPDATE runs SET created_at = created_at + ?", (AHEAD,))
    journal.close()
    code, found = _run_doctor(used, WAYPOST_PORT="0")
    assert code == 1
    assert "ahead of this machine's clock" in found["clock"]["found"]


def test_a_data_folder_that_cannot_be_created_or_written_is_found(place: Path) -> None:
    code, found = _run_doctor(place, "--data", "config/pipelines/greet.yaml/data", WAYPOST_PORT="0")
    assert code == 1
    assert "is a file" in found["data folder"]["found"]
    serve = waypost("serve", "--data", "config/pipelines/greet.yaml/data", "--port", "0", cwd=place)
    assert serve.returncode == 3
    assert "--data" in serve.stderr


def _obeying_modes(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without root's right to write anywhere (PR_CAPBSET_DROP of CAP_DAC_OVERRIDE)."""
    drop = partial(ctypes.CDLL(None).prctl, 24, 1) if os.geteuid() == 0 else None
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, preexec_fn=drop
    )


def test_an_unwritable_data_folder_is_found_and_exits_3(used: Path) -> None:
    data = used / ".waypost"
    data.chmod(0o500)
    try:
        examined = _obeying_modes("doctor", "--json", cwd=used)
        served = _obeying_modes("serve", "--port", "0", cwd=used)
    finally:
        data.chmod(0o700)
    found = {each["check"]: each for each in json.loads(examined.stdout)}
    assert examined.returncode == 1
    assert found["data folder"]["state"] == "wrong"
    assert "--data" in found["data folder"]["cure"]
    assert served.returncode == 3
    assert "--data" in served.stderr
    assert "Traceback" not in served.stderr


def test_a_receiver_of_traces_that_takes_nothing_is_found(place: Path, port: str) -> None:
    assert "traces" not in _run_doctor(place)[1]
    with gate() as receiver:
        receiver.opened.set()
        _, found = _run_doctor(place, WAYPOST_OTEL_ENDPOINT=receiver.url)
        assert (found["traces"]["state"], found["traces"]["found"]) == ("ok", f"{receiver.url} takes them")
    _, found = _run_doctor(place, WAYPOST_OTEL_ENDPOINT="http://127.0.0.1:9")
    assert (found["traces"]["state"], found["traces"]["found"]) == ("warning", "http://127.0.0.1:9: no answer")
    assert "OTEL_HEADERS" in found["traces"]["cure"]
