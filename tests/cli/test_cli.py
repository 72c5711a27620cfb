"""The command, as a person types it: a real process, its output and its exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-c", "from triggers.cli import main; main()"]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")},
    "WAYPOST_SECRET_DEMO": "demo-secret",
    "WAYPOST_EGRESS_ALLOW": "127.0.0.0/8",
    "PYTHONPATH": str(ROOT),
}
PIPELINE = """
triggers:
  - id: greet
    use: webhook
    with:
      path: /greet
      verify: {preset: hmac, header: x-signature, prefix: "sha256=", secret: "{{ secrets.DEMO }}"}
steps:
  - {id: text, use: transform.set, with: {values: {text: "Hello {{ trigger.body.name }}"}}}
outputs: {text: "{{ steps.text.output.text }}"}
"""


def _waypost(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "config" / "pipelines").mkdir(parents=True)
    (tmp_path / "config" / "pipelines" / "greet.yaml").write_text(PIPELINE)
    return tmp_path


@contextmanager
def _serving(place: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service of its own, and what it printed until it was ready."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"],
        cwd=place,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "curl" in line:
                break
        yield process, said
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_serve_prints_a_request_that_works(place: Path) -> None:
    with _serving(place) as (_, said):
        assert "(pipeline greet)" in said
        assert "demo-secret" not in said
        command = next(line.strip() for line in said.splitlines() if line.strip().startswith("curl"))
        url = next(word for word in command.split() if word.startswith("http"))
        headers = dict(pair.split(": ", 1) for pair in re.findall(r"-H '([^']*)'", command))
        body = re.findall(r"-d '([^']*)'", command)[0]
        answer = httpx.post(url, headers=headers, content=body, trust_env=False)
        assert answer.status_code == 202
        run = answer.json()["runs"][0]
        deadline = time.monotonic() + 10
        while (told := json.loads(_waypost("show", run, "--json", cwd=place).stdout))["status"] == "running":
            assert time.monotonic() < deadline
        assert told["outputs"] == {"text": "Hello Ada"}
        assert told["history"][0]["type"] == "run_started"
        assert run in _waypost("runs", cwd=place).stdout
        shown = _waypost("show", run, cwd=place).stdout
        assert "Steps" in shown
        assert "History" in shown
        assert _waypost("cancel", run, cwd=place).returncode == 1


def test_a_second_process_on_the_same_folder_exits_3_and_says_who(place: Path) -> None:
    with _serving(place) as (process, _):
        second = _waypost("serve", "--port", "0", cwd=place)
        assert second.returncode == 3
        assert str(process.pid) in second.stderr


def test_runs_can_be_read_where_no_service_runs(place: Path) -> None:
    with _serving(place) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert _waypost("runs", cwd=place).returncode == 0
    missing = _waypost("show", "run_nobody", cwd=place)
    assert missing.returncode == 1
    assert "there is no run run_nobody" in missing.stderr
    cancelled = _waypost("cancel", "run_nobody", cwd=place)
    assert cancelled.returncode == 3


def test_validate_names_file_line_and_column(place: Path) -> None:
    assert _waypost("validate", cwd=place).returncode == 0
    broken = place / "config" / "pipelines" / "broken.yaml"
    broken.write_text("steps:\n  - {id: a, use: htp.get, with: {url: x}}\n")
    found = _waypost("validate", cwd=place)
    assert found.returncode == 1
    assert "broken.yaml:2:18: error" in found.stderr
    assert "http" in found.stderr
    assert "1 of 2 pipelines are valid" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["serve", "--nobody"], 2),
        (["nobody"], 2),
        (["serve", "--port", "99999"], 2),
    ],
)
def test_exit_codes_are_those_of_the_contract(place: Path, arguments: list[str], code: int) -> None:
    assert _waypost(*arguments, cwd=place).returncode == code


def test_settings_that_cannot_be_used_are_named(place: Path) -> None:
    found = _waypost("serve", cwd=place, WAYPOST_PORT="many")
    assert found.returncode == 2
    assert "WAYPOST_PORT" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_address_that_is_taken_exits_3(place: Path) -> None:
    with _serving(place) as (_, said):
        port = re.findall(r"http://127.0.0.1:(\d+)", said)[0]
        other = _waypost("serve", "--port", port, "--data", "other", cwd=place)
        assert other.returncode == 3
        assert port in other.stderr
