"""`waypost show`: the cause first, the steps to look at, and how to see the rest."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.command import serving, waypost
from tests.cli.conftest import write

MANY = """
inputs: {items: {type: array}, text: {type: string}}
steps:
  - {id: first, use: transform.set, with: {values: {n: 1}}}
  - id: each
    foreach: inputs.items
    max_parallel: 10
    on_item_error: collect
    steps:
      - id: check
        if: "item == 41"
        use: flow.fail
        with: {message: "item {{ item }} is odd", code: odd}
      - {id: pass, use: transform.set, with: {values: {n: "{{ item }}"}}}
  - {id: large, use: transform.set, with: {values: {text: "{{ inputs.text }}"}}}
  - {id: last, use: flow.fail, with: {message: "the end is missing", code: no_end}}
"""
ITEMS = json.dumps(list(range(60)))
TEXT = "x" * 9_000
LARGE = """
inputs: {text: {type: string}}
steps:
  - {id: make, use: transform.set, with: {values: {text: "{{ inputs.text }}"}}}
outputs: {text: "{{ steps.make.output.text }}"}
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a run of 124 steps that failed, and no service."""
    place = tmp_path_factory.mktemp("failed")
    assert waypost("init", cwd=place).returncode == 0
    write(place, "many", MANY)
    found = waypost("run", "many", "--input", f"items={ITEMS}", "--input", f"text={TEXT}", cwd=place)
    assert found.returncode == 1, found.stderr
    return place, found.stderr.split()[-3].strip("`")


def _show(failed: tuple[Path, str], *options: str) -> str:
    found = waypost("show", failed[1], *options, cwd=failed[0])
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_failed_run_is_shown_with_its_cause_first(failed: tuple[Path, str]) -> None:
    lines = _show(failed).splitlines()
    assert lines[0].endswith("many  failed")
    assert lines[1].split(maxsplit=1) == ["failed", "last: the end is missing"]
    assert lines[2].split() == ["code", "no_end"]
    head = "\n".join(lines[:8])
    for command in ("show {} --step last", "fork {} --step last --set NAME=VALUE", "rerun {}"):
        assert f"waypost {command.format(failed[1])}" in head
    assert "waypost retry" not in head, "flow.fail would fail in the same way"


def test_at_most_thirty_steps_are_shown_and_the_rest_is_counted(failed: tuple[Path, str]) -> None:
    output = _show(failed)
    steps = output.partition("\nSteps\n")[2]
    names = [line.split()[0] for line in steps.splitlines() if line.startswith("  ") and line[2] != " "]
    assert names[:5] == ["last", "each[41].check", "first", "each", "large"]
    assert len(names) == 31
    assert "60 items: 59 completed, 1 failed (failed: [41])" in steps
    assert f"`waypost show {failed[1]} --steps all` or `--steps STATUS` shows them" in steps
    assert "more steps of 123" in steps
    assert "History" not in output


def test_all_steps_or_those_of_a_status_are_shown_on_request(failed: tuple[Path, str]) -> None:
    assert _show(failed, "--steps", "all").count("each[") == 119 + 1
    only = _show(failed, "--steps", "failed").partition("\nSteps\n")[2]
    assert [line.split()[0] for line in only.splitlines() if line[2] != " "] == ["each[41].check", "last"]
    document = json.loads(_show(failed, "--steps", "all", "--json"))
    assert (len(document["steps"]), document["steps_after"]) == (123, None)
    wrong = waypost("show", failed[1], "--steps", "broken", cwd=failed[0])
    assert (wrong.returncode, "'broken' is not one of all, pending" in wrong.stderr) == (2, True)


def test_one_step_is_shown_whole(failed: tuple[Path, str]) -> None:
    assert "--step large` prints all of it)" in _show(failed)
    assert TEXT in _show(failed, "--step", "large")
    step = json.loads(_show(failed, "--step", "each[3].pass", "--json"))
    assert (step["path"], step["use"], step["output"]) == ("each[3].pass", "transform.set", {"n": 3})
    missing = waypost("show", failed[1], "--step", "nowhere", cwd=failed[0])
    assert missing.returncode == 1
    assert "has not reached a step 'nowhere'" in missing.stderr
    with serving(failed[0]):
        served = waypost("show", failed[1], "--step", "nowhere", cwd=failed[0])
        assert served.stderr == missing.stderr
        assert json.loads(_show(failed, "--step", "each[3].pass", "--json")) == step


def test_the_history_follows_on_request(failed: tuple[Path, str]) -> None:
    output = _show(failed, "--history")
    assert "run_finished" in output.partition("\nHistory\n")[2]
    assert json.loads(_show(failed, "--history", "--json"))["history"][0]["type"] == "run_started"


def test_a_follower_prints_large_outputs_whole_and_show_says_where_they_are(place: Path) -> None:
    write(place, "large", LARGE)
    done = waypost("run", "large", "--input", f"text={2 * TEXT}", cwd=place)
    whole = {"text": 2 * TEXT}
    assert json.loads(done.stdout) == whole
    shown = waypost("show", "latest", cwd=place).stdout
    assert "--value outputs` prints all of it)" in shown
    assert json.loads(waypost("show", "latest", "--value", "outputs", "--json", cwd=place).stdout) == whole


def test_a_follower_of_a_long_run_prints_its_loop_in_one_line(failed: tuple[Path, str]) -> None:
    found = waypost("run", "many", "--input", f"items={ITEMS}", "--input", f"text={TEXT}", cwd=failed[0])
    assert "60 items: 59 completed, 1 failed (failed: [41])" in found.stderr
    assert "each[41].check failed" in found.stderr


def test_a_time_of_another_zone_than_utc_has_its_offset(used: Path) -> None:
    shown = waypost("show", "latest", cwd=used, TZ="Asia/Kolkata").stdout
    assert re.search(r"started +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+05:30\n", shown)
    assert re.search(r"started +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\n", waypost("show", "latest", cwd=used).stdout)
