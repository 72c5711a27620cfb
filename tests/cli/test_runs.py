"""Commands about runs: start, follow, stop following, and read the result."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import gate, serving, start_command, until, waypost
from tests.cli.conftest import write

HELD = """
steps:
  - {{id: before, use: transform.set, with: {{values: {{n: 1}}}}}}
  - {{id: call, use: http.get, with: {{url: "{url}/"}}}}
outputs: {{n: "{{{{ steps.before.output.n }}}}"}}
"""
PARKED = """
steps:
  - {{id: pay, use: http.post, with: {{url: "{url}/"}}, timeout: 100ms, on_crash: park}}
"""
FAILS = """
steps:
  - {id: check, use: flow.fail, with: {message: "the amount is missing", code: no_amount}}
"""
TAKES_TEXT = """
inputs: {order: {type: string}, count: {type: integer}}
steps:
  - {id: note, use: log.write, with: {message: "{{ inputs.order }}"}}
"""
STOPS = """
steps:
  - {id: check, use: flow.stop, with: {status: cancelled, reason: nothing to do}}
"""


def _until(process: subprocess.Popen[str], line: str) -> None:
    """Read the progress output of the command up to this line."""
    assert process.stderr
    for said in process.stderr:
        if said.startswith(line):
            return
    raise AssertionError(f"it never said {line!r}")


def test_a_run_without_a_service_is_followed_to_its_outputs(place: Path) -> None:
    found = waypost("run", "greet", "--input", "name=Ada", "--input", "times=3", cwd=place)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == {"text": "Hello Ada", "times": 3}
    assert "text completed, 1 attempt" in found.stderr
    assert "\x1b" not in found.stdout + found.stderr
    run = found.stderr.split()[-2]
    output = waypost("history", run, "--json", cwd=place)
    assert output.returncode == 0, output.stderr
    entries = json.loads(output.stdout)
    assert [entries[0]["type"], entries[-1]["type"]] == ["run_started", "run_finished"]
    assert "step_completed" in waypost("history", run, cwd=place).stdout


def test_a_run_on_the_running_service_takes_inputs_together_or_one_by_one(place: Path) -> None:
    (place / "inputs.json").write_text('{"name": "Ada", "times": 2}', encoding="utf-8-sig")
    with serving(place):
        found = waypost("run", "greet", "--inputs", "@inputs.json", "--input", "name=5 apples", "--json", cwd=place)
        assert found.returncode == 0, found.stderr
        document = json.loads(found.stdout)
        assert document["outputs"] == {"text": "Hello 5 apples", "times": 2}
        assert found.stderr == ""
        detached = waypost("run", "greet", "--inputs", '{"name": "Bob"}', "--detach", "--json", cwd=place)
        assert json.loads(detached.stdout)["duplicate"] is False
        unfit = waypost("run", "greet", cwd=place)
        assert unfit.returncode == 1
        assert "inputs.name: it is missing" in unfit.stderr


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (FAILS, 1, "failed: check: the amount is missing"),
        (STOPS, 1, "is cancelled: nothing to do"),
        ("steps: 1\n", 1, "the pipeline other cannot run: config/pipelines/other.yaml:1:8"),
    ],
)
def test_a_run_that_does_not_complete_says_why_and_exits_1(place: Path, text: str, code: int, expected: str) -> None:
    write(place, "other", text)
    found = waypost("run", "other", cwd=place)
    assert found.returncode == code
    assert expected in found.stderr
    assert "Traceback" not in found.stderr


def test_a_paused_run_says_why_it_is_paused(place: Path) -> None:
    with gate() as held:
        write(place, "parked", PARKED.format(url=held.url))
        found = waypost("run", "parked", cwd=place)
    assert found.returncode == 1
    assert "is paused: " in found.stderr
    assert "pay" in found.stderr


def test_ctrl_c_stops_following_and_the_service_continues(place: Path) -> None:
    with gate() as held:
        write(place, "held", HELD.format(url=held.url))
        with serving(place):
            with start_command("run", "held", cwd=place) as process:
                _until(process, "call running")
                process.send_signal(signal.SIGINT)
                output, warned = process.communicate(timeout=20)
            assert process.returncode == 1
            assert "continues" in warned
            assert output == ""
            run = json.loads(waypost("runs", "--json", cwd=place).stdout)[0]["id"]
            assert run in warned
            assert waypost("cancel", run, cwd=place).returncode == 0
            assert until(place, run, "cancelled")


def test_ctrl_c_without_a_service_leaves_the_run_to_the_next_process(place: Path) -> None:
    with gate() as held:
        write(place, "held", HELD.format(url=held.url))
        with start_command("run", "held", cwd=place) as process:
            _until(process, "call running")
            process.send_signal(signal.SIGINT)
            _, warned = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "continues when a service runs on .waypost again" in warned
        unfinished = json.loads(waypost("runs", "--json", cwd=place).stdout)[0]
        assert unfinished["finished_at"] is None
        held.opened.set()
        with serving(place):
            assert until(place, unfinished["id"], "completed")


def test_running_without_a_service_leaves_other_runs_alone(place: Path) -> None:
    """They began with the environment of their service; this shell may lack settings that they need."""
    with gate() as held:
        write(place, "held", HELD.format(url=held.url))
        with serving(place) as (service, _):
            begun = waypost("run", "held", "--detach", "--json", cwd=place)
            run = json.loads(begun.stdout)["id"]
            assert held.arrived.wait(10)
            service.kill()
        held.arrived.clear()
        held.opened.set()
        found = waypost("run", "greet", "--input", "name=Ada", cwd=place, WAYPOST_EGRESS_ALLOW="")
        assert found.returncode == 0, found.stderr
        assert not held.arrived.is_set()
        assert json.loads(waypost("show", run, "--json", cwd=place).stdout)["finished_at"] is None
        with serving(place):
            assert until(place, run, "completed")


def test_losing_the_service_while_following_does_not_end_the_run(place: Path) -> None:
    with gate() as held:
        write(place, "held", HELD.format(url=held.url))
        with serving(place) as (service, _), start_command("run", "held", cwd=place) as process:
            _until(process, "call running")
            service.kill()
            _, warned = process.communicate(timeout=20)
        assert process.returncode == 3
        assert "continues when it is back" in warned


@pytest.mark.parametrize("options", [[], ["--detach"]])
def test_a_number_where_text_is_expected_says_how_to_quote_text(place: Path, options: list[str]) -> None:
    write(place, "order", TAKES_TEXT)
    with serving(place):
        wrong = waypost("run", "order", "--input", "order=17", "--input", "count=x", *options, cwd=place)
        assert wrong.returncode == 1
        assert wrong.stderr.endswith("""; put text that looks like other JSON in quotes: --input 'order="17"'\n""")
        assert waypost("run", "order", "--input", 'order="17"', "--input", "count=1", cwd=place).returncode == 0
        other = waypost("run", "order", "--input", "order=a", "--input", "count=x", cwd=place)
        assert "in quotes" not in other.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["gret"], 1, "did you mean 'greet'"),
        (["greet", "--input", "name"], 2, "NAME=VALUE"),
        (["greet", "--input", "a=1", "--input", "a=2"], 2, "given twice"),
        (["greet", "--inputs", "{"], 2, "not JSON"),
        (["greet", "--inputs", "[NaN]"], 2, "not JSON"),
        (["greet", "--inputs", "[]"], 2, "object"),
        (["greet", "--inputs", "@nowhere.json"], 2, "nowhere.json"),
        (["greet", "--detach"], 3, "waypost serve"),
        (["greet", "--config", "nowhere"], 2, "waypost init --config nowhere"),
    ],
)
def test_a_run_that_cannot_be_started_says_what_to_do(
    place: Path, arguments: list[str], code: int, expected: str
) -> None:
    found = waypost("run", *arguments, cwd=place)
    assert found.returncode == code
    assert expected in found.stderr
    assert "Traceback" not in found.stderr


def test_listen_shows_what_send_sends_until_it_is_stopped(place: Path) -> None:
    with serving(place), start_command("listen", cwd=place) as listening:
        assert listening.stderr
        assert "listening at http://127.0.0.1:" in listening.stderr.readline()
        (place / "ada.json").write_text('{"name": "Ada"}')
        sent = waypost("send", "hmac", "ada.json", "--to", "/greet", cwd=place)
        assert sent.returncode == 0, sent.stderr
        wrong = waypost("send", "none", "ada.json", "--to", "/great", cwd=place)
        assert (wrong.returncode, "--unknown" in wrong.stderr) == (1, True)
        assert listening.stdout
        seen = ""
        for line in listening.stdout:
            seen += line
            if "/hooks/great" in line:
                break
        assert "did you mean '/hooks/greet'" in seen
        assert "accepted   POST /hooks/greet  greet/greet  dlv_" in seen
        listening.send_signal(signal.SIGINT)
        assert listening.wait(30) == 0


@pytest.mark.parametrize("change", ["edited", "renamed", "deleted"])
def test_a_run_outlives_its_file_and_kill_9(place: Path, change: str) -> None:
    with gate() as held:
        file = write(place, "held", HELD.format(url=held.url))
        with serving(place) as (process, _):
            run = waypost("run", "held", "--detach", cwd=place).stdout.strip()
            held.arrived.wait(30)
            match change:
                case "edited":
                    file.write_text(FAILS)
                case "renamed":
                    file.rename(file.with_name("other.yaml"))
                case "deleted":
                    file.unlink()
            process.kill()
            process.join(30)
        held.opened.set()
        with serving(place):
            assert until(place, run, "completed", "failed", "paused")["outputs"] == {"n": 1}
