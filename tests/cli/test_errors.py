"""`waypost errors` and the filters of `waypost runs`, offline and with a service."""

import json
from pathlib import Path

import pytest

from tests.cli.command import serving, waypost
from tests.cli.conftest import write

FAILS = """
inputs: {order: {type: string}}
steps: [{id: check, use: flow.fail, with: {message: "order {{ inputs.order }} is too old", code: too_old}}]
"""


def _fail(place: Path, order: str) -> None:
    assert waypost("run", "fails", "--input", f"order={order}", "--json", cwd=place).returncode == 1


@pytest.mark.slow
def test_failures_and_their_runs_are_found_without_a_service(place: Path) -> None:
    write(place, "fails", FAILS)
    assert waypost("errors", cwd=place).stderr.startswith("waypost: there is no journal in .waypost")
    _fail(place, "o-17")
    _fail(place, "o-4711")
    listed = waypost("errors", cwd=place)
    assert listed.returncode == 0, listed.stderr
    (group,) = json.loads(waypost("errors", "--pipeline", "fails", "--json", cwd=place).stdout)
    line = next(line for line in listed.stdout.splitlines() if line.startswith(group["key"]))
    assert line.split()[1] == "2"
    assert line.endswith("check: order o-4711 is too old")
    assert f"waypost runs --error {group['key']}" in listed.stdout
    assert listed.stdout.count(f"--all --error {group['key']}") <= 1
    assert f"waypost rerun --all --error {group['key']}" in listed.stdout, "flow.fail would fail in the same way"
    assert "waypost retry" not in listed.stdout
    shown = waypost("show", "latest", cwd=place).stdout
    assert "--step check --set NAME=VALUE" in shown
    assert "waypost retry" not in shown
    runs = waypost("runs", "--error", group["key"], "--from", "1h", "--trigger", "api", cwd=place).stdout
    assert [line.split()[2] for line in runs.splitlines()] == ["STATUS", "failed", "failed"]
    assert "order o-17 is too old" in runs
    cut = waypost("runs", "--limit", "1", cwd=place)
    assert cut.stdout.count("failed") == 1
    assert "1 are shown, which is the limit; `--limit 5` shows more" in cut.stderr
    assert waypost("runs", cwd=place).stderr == ""
    version = json.loads(waypost("runs", "--json", cwd=place).stdout)[0]["id"]
    assert waypost("runs", "--event", "latest", "--limit", "1", "--json", cwd=place).stdout.count(version) == 1


def test_an_empty_list_says_what_was_filtered_and_a_wrong_name_is_an_error(place: Path) -> None:
    write(place, "fails", FAILS)
    with serving(place):
        empty = waypost("runs", "--pipeline", "fails", "--status", "failed", "--tag", "red", cwd=place)
        assert empty.stdout == "there are no failed runs of the pipeline 'fails' with the tag 'red'\n"
        assert waypost("errors", cwd=place).stdout == "no run has failed\n"
        for command in ("runs", "errors"):
            wrong = waypost(command, "--pipeline", "fials", cwd=place)
            assert (wrong.returncode, wrong.stderr) == (
                1,
                "waypost: there is no pipeline 'fials'; did you mean 'fails'\n",
            )
        timed = waypost("errors", "--pipeline", "fails", "--from", "2h", "--until", "1h", cwd=place)
        assert timed.stdout.startswith("no run of the pipeline 'fails' that started at or after 20")
        assert timed.stdout.endswith(" has failed\n")
        for words in (["runs"], ["errors"], ["deliveries"], ["retry", "--all"], ["replay", "--all"]):
            never = waypost(*words, "--from", "1h", "--until", "2h", cwd=place)
            assert (never.returncode, "nothing is between them" in never.stderr) == (2, True)
        late = waypost("runs", "--from", "yesterday", cwd=place)
        assert (late.returncode, "'yesterday' is neither a time such as" in late.stderr) == (2, True)
