"""Commands about waits, as a person types them: what waits, what to do next, and doing it."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import gate, on_terminal, serving, waypost
from tests.cli.conftest import write
from tests.cli.test_terminal import CONTROL

ASKS = """
steps:
  - id: ask
    use: wait.approval
    with: {to: ops, title: "Ship it?", fields: {amount: {type: number}}}
    timeout: 1h
    on_timeout: fail
outputs: {said: "{{ steps.ask.output }}"}
"""
HOOKED = """
steps:
  - {id: before, use: transform.set, with: {values: {}}}
  - id: pick
    use: wait.any
    with:
      waits:
        call: {use: wait.webhook, with: {title: Call us}}
        paid: {use: wait.event, with: {type: order paid, match: "7"}}
    timeout: 1h
    on_timeout: fail
outputs: {said: "{{ steps.pick.output }}"}
"""
PARKED = """
steps:
  - {{id: pay, use: http.post, with: {{url: "{url}/"}}, timeout: 100ms, on_crash: park}}
outputs: {{paid: "{{{{ steps.pay.output }}}}"}}
"""


def _start(place: Path, pipeline: str, status: str) -> str:
    """A run that has come so far."""
    found = waypost("run", pipeline, "--detach", cwd=place)
    assert found.returncode == 0, found.stderr
    _until(place, found.stdout.strip(), status)
    return found.stdout.strip()


def _until(place: Path, run: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        told: dict[str, Any] = json.loads(waypost("show", run, "--json", cwd=place).stdout)
        if told["status"] == status:
            return told
    raise AssertionError(f"{run} is {told['status']}")


def test_a_wait_says_which_command_answers_it_and_the_command_does(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place):
        run = _start(place, "asks", "waiting")
        for command in (["waits"], ["waits", run], ["show", run]):
            said = waypost(*command, cwd=place).stdout
            assert "an approval: Ship it?, until " in said
            assert f"waypost answer {run} ask --approve | --reject" in said
            assert f"/waits/{run}/ask/" in said
        unfit = waypost("answer", run, "ask", "--approve", "--field", "amount=x", cwd=place)
        assert (unfit.returncode, "`fields.amount`" in unfit.stderr) == (1, True)
        answered = waypost("answer", run, "ask", "--approve", "--field", "amount=5", "--comment", "ok", cwd=place)
        assert answered.returncode == 0, answered.stderr
        said = _until(place, run, "completed")["outputs"]["said"]
        assert (said["approved"], said["fields"], said["comment"], said["by"]) == (True, {"amount": 5}, "ok", "admin")
        assert "nothing waits" in waypost("waits", cwd=place).stdout
        again = waypost("answer", run, "ask", "--reject", cwd=place)
        assert (again.returncode, "the run has ended" in again.stderr) == (1, True)


def test_one_wait_of_several_is_answered_by_its_name_and_another_by_an_event(place: Path) -> None:
    write(place, "hooked", HOOKED)
    with serving(place):
        run = _start(place, "hooked", "waiting")
        said = waypost("waits", cwd=place).stdout
        assert f"waypost answer {run} pick --name call --value JSON" in said
        assert "waypost emit 'order paid' --subject 7" in said
        nameless = waypost("answer", run, "pick", "--value", "1", cwd=place)
        assert "one of call, paid" in nameless.stderr
        assert waypost("answer", run, "pick", "--name", "call", "--value", '{"a": 1}', cwd=place).returncode == 0
        assert _until(place, run, "completed")["outputs"]["said"]["output"]["body"] == {"a": 1}
        other = _start(place, "hooked", "waiting")
        emitted = waypost("emit", "order paid", "--subject", "7", "--value", "[1]", "--json", cwd=place)
        assert json.loads(emitted.stdout)["runs"] == []
        assert _until(place, other, "completed")["outputs"]["said"]["name"] == "paid"


def test_an_uncertain_step_is_resolved_with_the_command_that_is_shown(place: Path) -> None:
    with gate() as held:
        write(place, "parked", PARKED.format(url=held.url))
        with serving(place):
            run = _start(place, "parked", "paused")
            shown = waypost("show", run, cwd=place).stdout
            assert f"waypost resolve {run} pay --completed JSON | --retry | --failed" in shown
            assert "a decision on it" in shown
            resumed = waypost("resume", run, cwd=place)
            assert (resumed.returncode, "resolve 'pay'" in resumed.stderr) == (1, True)
            done = waypost("resolve", run, "pay", "--completed", '{"id": 1}', "--reason", "seen", cwd=place)
            assert done.returncode == 0, done.stderr
            assert _until(place, run, "completed")["outputs"] == {"paid": {"id": 1}}


def test_without_a_service_waits_are_told_and_answers_are_not_taken(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place):
        run = _start(place, "asks", "waiting")
    waits = json.loads(waypost("waits", "--json", cwd=place).stdout)
    assert [(wait["run"], wait["kind"]) for wait in waits] == [(run, "approval")]
    for command in (
        ["answer", run, "ask", "--approve"],
        ["resolve", run, "x", "--retry"],
        ["resume", run],
        ["emit", "x"],
    ):
        found = waypost(*command, cwd=place)
        assert (found.returncode, "waypost serve" in found.stderr) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["answer", "r", "s", "--approve", "--reject"], "not both"),
        (["answer", "r", "s", "--value", "{"], "not JSON"),
        (["answer", "r", "s", "--field", "a"], "NAME=VALUE"),
        (["resolve", "r", "s"], "say one of"),
        (["resolve", "r", "s", "--retry", "--failed"], "say one of"),
        (["emit", "t", "--value", "@nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_use_says_what_is_right(place: Path, arguments: list[str], said: str) -> None:
    found = waypost(*arguments, cwd=place)
    assert found.returncode == 2
    assert said in found.stderr


def test_a_history_is_exported_with_and_without_a_service(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place):
        run = _start(place, "asks", "waiting")
        served = waypost("history", run, "--export", cwd=place).stdout
    exported = json.loads(served)
    assert exported.keys() == {"definition", "run", "entries"}
    assert exported["entries"][0]["links"]["key"] == "exported"
    assert waypost("history", run, "--export", cwd=place).stdout == served
    missing = waypost("history", "run_x", "--export", cwd=place)
    assert (missing.returncode, "`waypost runs` lists them" in missing.stderr) == (1, True)


def test_deliveries_are_listed_with_their_outcome_and_reason(place: Path) -> None:
    import httpx

    with serving(place) as (_, announced):
        url = re.findall(r"http://127.0.0.1:\d+", announced)[0]
        assert httpx.post(f"{url}/hooks/greet", json={}, trust_env=False).status_code == 401
        deadline = time.monotonic() + 10
        found: list[Any] = []
        while not found and time.monotonic() < deadline:
            found = json.loads(waypost("deliveries", "--json", cwd=place).stdout)
        assert [(each["trigger"], each["outcome"]) for each in found] == [("greet/greet", "rejected")]
        assert "missing_signature" in waypost("deliveries", "--outcome", "rejected", cwd=place).stdout
        wrong = waypost("deliveries", "--outcome", "lost", cwd=place)
        assert (wrong.returncode, "accepted, duplicate" in wrong.stderr) == (2, True)
    assert found[0]["id"] in waypost("deliveries", "--webhook", "greet/greet", cwd=place).stdout
    assert "DELIVERY" in waypost("deliveries", "--webhook", "other/x", cwd=place).stdout


def test_eighty_columns_never_cut_an_id(place: Path) -> None:
    write(
        place,
        "sweep_with_a_long_name",
        "triggers:\n  - {id: often_enough, use: schedule, with: {every: 1s}}\n"
        "steps:\n  - {id: note, use: log.write, with: {message: again}}\n",
    )
    write(place, "asks", ASKS)
    with serving(place):
        run = _start(place, "asks", "waiting")
        deadline = time.monotonic() + 20
        fired = None
        while fired is None and time.monotonic() < deadline:
            fired = json.loads(waypost("schedules", "--json", cwd=place).stdout)[0]["last"]
        assert fired
        for arguments, ids in (
            (["schedules"], ["sweep_with_a_long_name/often_enough"]),
            (["waits"], [run]),
            (["show", run], [run]),
        ):
            _, said = on_terminal(*arguments, cwd=place)
            plain = CONTROL.sub("", said)
            assert all(id in plain for id in ids), plain
            assert "…" not in plain or arguments[0] == "show"
        _, said = on_terminal("schedules", cwd=place)
        assert re.search(r"run_[0-9a-z]{26}", CONTROL.sub("", said))
