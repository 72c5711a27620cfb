"""`waypost rerun` and `waypost fork`: new runs of what a run was started for."""

import json
from pathlib import Path

from tests.cli.command import serving, waypost
from tests.cli.conftest import write

CHECKS = """
inputs: {n: {type: integer}}
steps:
  - {id: first, use: transform.set, with: {values: {n: "{{ inputs.n }}"}}}
  - {id: check, use: transform.set, with: {values: {n: "{{ steps.first.output.n }}", said: "no"}}}
  - {id: last, use: flow.fail, if: "steps.check.output.said == 'no'", with: {message: "it said no"}}
outputs: {n: "{{ steps.check.output.n }}", said: "{{ steps.check.output.said }}"}
"""


TAKES = """
triggers: [{id: order, use: webhook, with: {path: /orders, verify: none}, inputs: {n: "{{ trigger.body.n }}"}}]
inputs: {n: {type: integer}}
steps: [{id: note, use: transform.set, with: {values: {n: "{{ inputs.n }}"}}}]
outputs: {n: "{{ steps.note.output.n }}"}
"""


def test_a_run_is_started_with_a_file_or_an_event_in_the_place_of_inputs(place: Path) -> None:
    write(place, "takes", TAKES)
    (place / "order.yaml").write_text("body:\n  n: 4\n")
    alone = waypost("run", "takes", "--trigger", "order.yaml", cwd=place)
    assert alone.returncode == 0, alone.stderr
    assert json.loads(alone.stdout) == {"n": 4}
    with serving(place):
        served = waypost("run", "takes", "--trigger", "order.yaml", "--trigger-id", "order", cwd=place)
        event = json.loads(waypost("runs", "--json", cwd=place).stdout)[0]["event"]
        lost = waypost("run", "takes", "--event", event[-8:], cwd=place)
        misused = [
            waypost("run", "takes", *options, cwd=place)
            for options in (["--event", "x", "--input", "n=1"], ["--trigger-id", "order"], ["--trigger", "none.yaml"])
        ]
    assert json.loads(served.stdout) == {"n": 4}
    assert lost.returncode == 1
    assert "was not kept" in lost.stderr
    assert [found.returncode for found in misused] == [2, 2, 2]


def test_a_failed_run_is_rerun_and_forked_and_the_runs_are_linked(place: Path) -> None:
    write(place, "checks", CHECKS)
    with serving(place):
        waypost("run", "checks", "--input", "n=1", cwd=place)
        run = json.loads(waypost("runs", "--json", cwd=place).stdout)[0]["id"]
        again = waypost("rerun", "latest", "--reason", "once more", cwd=place)
        assert again.returncode == 0, again.stderr
        assert "the recorded inputs" in again.stdout
        edit = ["--step", "check", "--set", 'values={"n": 2, "said": "yes"}']
        forked = waypost("fork", run, *edit, "--reason", "mended", "--follow", cwd=place)
        assert forked.returncode == 0, forked.stderr
        assert "continues from check, with 1 checkpoint" in forked.stderr
        assert json.loads(forked.stdout) == {"n": 2, "said": "yes"}
        start = waypost("fork", run, "--inputs", '{"n": 3}', "--json", cwd=place)
        assert json.loads(start.stdout)["inputs"] == "given"
        shown = waypost("show", run, cwd=place).stdout
        new = waypost("show", forked.stderr.split()[0], cwd=place).stdout
        refused = waypost("fork", run, "--step", "nowhere", cwd=place)
        misused = waypost("fork", run, "--input", "{}", cwd=place)
    assert shown.count("(fork)") == 2
    assert shown.count("(rerun)") == 1
    assert f"of {run}, check, by admin, mended" in new
    assert (refused.returncode, misused.returncode) == (1, 2)
    assert "has no step 'nowhere'" in refused.stderr
