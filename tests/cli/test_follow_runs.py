"""`waypost runs --follow`: a line for each run that is new or changes."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.cli.command import api, serving, start_command, until, waypost
from tests.cli.conftest import write

ASKS = "steps: [{id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}]"
FAILS = 'steps: [{id: check, use: flow.fail, with: {message: "the amount is missing"}}]'


def read_until(process: subprocess.Popen[str], words: str) -> Iterator[str]:
    """The lines of a command up to one that has these words."""
    assert process.stdout
    for line in process.stdout:
        yield line
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}")


def start(place: Path, pipeline: str, **body: object) -> str:
    with api(place) as asked:
        answer = asked.post(f"/api/pipelines/{pipeline}/runs", json=body).raise_for_status()
    return str(answer.json()["id"])


def test_each_change_of_a_run_is_a_line_until_ctrl_c(place: Path) -> None:
    write(place, "asks", ASKS)
    write(place, "fails", FAILS)
    with serving(place):
        before = start(place, "asks")
        until(place, before, "waiting")
        with start_command("runs", "--follow", cwd=place) as process:
            assert process.stderr
            assert "following the runs at http://" in process.stderr.readline()
            [line] = read_until(process, before)
            assert line.split()[1:] == ["waiting", before, "asks", "ask"]
            failed = start(place, "fails")
            [*_, line] = read_until(process, "failed")
            assert f"failed     {failed}  fails  " in line
            assert "the amount is missing" in line
            assert waypost("cancel", before, cwd=place).returncode == 0
            [*_, line] = read_until(process, "cancelled")
            assert line.split()[1:] == ["cancelled", before, "asks"]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def test_only_the_runs_that_are_asked_for_are_shown_and_as_json_for_programs(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place):
        start(place, "asks", tags=["eu"])
        arguments = ("--tag", "us", "--status", "waiting", "--json")
        with start_command("runs", "-f", *arguments, cwd=place) as process:
            assert process.stderr
            process.stderr.readline()
            start(place, "asks", tags=["eu"])
            wanted = start(place, "asks", tags=["us"])
            [line] = read_until(process, wanted)
    assert json.loads(line).items() >= {"run": wanted, "pipeline": "asks", "status": "waiting"}.items()


def test_what_happened_while_the_service_was_away_is_shown_when_it_is_back(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place, "--port", "0") as (service, _):
        port = json.loads((place / ".waypost" / "service.json").read_text())["url"].rpartition(":")[2]
        left, going = start(place, "asks"), start(place, "asks")
        until(place, left, "waiting")
        until(place, going, "waiting")
        with start_command("runs", "--follow", cwd=place) as process:
            assert process.stderr
            list(read_until(process, going))
            service.kill()
            service.join()
            process.stderr.readline()
            assert "is lost" in process.stderr.readline()
            with serving(place, "--port", port):
                assert waypost("cancel", left, cwd=place).returncode == 0
                [*_, line] = read_until(process, left)
                assert "cancelled" in line
                assert "connected again" in process.stderr.readline()


def test_filters_that_changes_do_not_have_are_refused(place: Path) -> None:
    refused = waypost("runs", "--follow", "--from", "1h", cwd=place)
    assert refused.returncode == 2
    assert "leave out --from" in refused.stderr
