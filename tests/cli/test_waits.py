"""Commands about waits: list them, see what to do next, and answer."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.cli.command import api, gate, on_terminal, serving, until, waypost
from tests.cli.conftest import make_place, write
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
SIGNS = """
steps:
  - id: ask
    use: wait.approval
    with:
      to: ops
      title: Sign
      fields: {code: {type: string}, a b: {type: string}, colour: {type: string, default: red}}
    timeout: 1h
    on_timeout: fail
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
SWEEPS = """
triggers:
  - {id: often_enough, use: schedule, with: {every: 1s}}
steps:
  - {id: note, use: log.write, with: {message: again}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a service shared by all tests that read only their own runs."""
    place = make_place(tmp_path_factory.mktemp("served"))
    with gate() as held:
        texts = {"asks": ASKS, "signs": SIGNS, "hooked": HOOKED, "sweep_with_a_long_name": SWEEPS}
        for name, text in texts.items():
            write(place, name, text)
        write(place, "parked", PARKED.format(url=held.url))
        with serving(place):
            yield place


class Leftovers(NamedTuple):
    """The data of a stopped service: a waiting run, as exported, and a rejected delivery."""

    place: Path
    delivery: str
    run: str
    exported: str


@pytest.fixture(scope="module")
def leftovers(tmp_path_factory: pytest.TempPathFactory) -> Leftovers:
    place = make_place(tmp_path_factory.mktemp("left"))
    write(place, "asks", ASKS)
    with serving(place):
        delivery, run = _make_rejected_delivery(place), _start(place, "asks", "waiting")
        return Leftovers(place, delivery, run, waypost("history", run, "--export", cwd=place).stdout)


def _start(place: Path, pipeline: str, status: str) -> str:
    """Start a run, and wait until it has this status."""
    with api(place) as asked:
        started = asked.post(f"/api/pipelines/{pipeline}/runs", json={"inputs": {}}).raise_for_status()
    run: str = started.json()["id"]
    until(place, run, status)
    return run


def _make_rejected_delivery(place: Path) -> str:
    """Send a delivery without a signature, and wait until it is recorded."""
    deadline = time.monotonic() + 10
    with api(place) as asked:
        assert asked.post("/hooks/greet", json={}).status_code == 401
        while time.monotonic() < deadline:
            if found := asked.get("/api/deliveries").json()["deliveries"]:
                return str(found[0]["id"])
            time.sleep(0.01)
    raise AssertionError("the delivery is not told")


def test_a_wait_says_which_command_answers_it_and_the_command_does(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place):
        run = waypost("run", "asks", "--detach", cwd=place).stdout.strip()
        until(place, run, "waiting")
        for command in (["waits"], ["waits", run], ["show", run]):
            output = waypost(*command, cwd=place).stdout
            assert "an approval: Ship it?, until " in output
            assert f"waypost answer {run} ask --approve --field amount=VALUE | --reject" in output
            assert f"/waits/{run}/ask/" in output
        unfit = waypost("answer", run, "ask", "--approve", "--field", "amount=x", cwd=place)
        assert (unfit.returncode, '`--field amount=VALUE`: "x" is not of type' in unfit.stderr) == (1, True)
        answered = waypost("answer", run, "ask", "--approve", "--field", "amount=5", "--comment", "ok", cwd=place)
        assert answered.returncode == 0, answered.stderr
        output = until(place, run, "completed")["outputs"]["said"]
        assert (output["approved"], output["fields"], output["comment"], output["by"]) == (
            True,
            {"amount": 5},
            "ok",
            "admin",
        )
        assert "nothing waits" in waypost("waits", cwd=place).stdout
        again = waypost("answer", run, "ask", "--reject", cwd=place)
        assert (again.returncode, "the run has ended" in again.stderr) == (1, True)


def test_an_invalid_answer_is_explained_in_terms_of_the_commands_options(served: Path) -> None:
    run = _start(served, "signs", "waiting")
    output = waypost("waits", run, cwd=served).stdout
    assert f"waypost answer {run} ask --approve --field 'a b'=VALUE --field code=VALUE | --reject" in output
    for arguments, expected in (
        ([], "waypost: add `--approve` or `--reject`\n"),
        (["--value", "{}"], "`--value`: it is nothing that a wait for approval takes; add `--approve` or `--reject`"),
        (["--approve", "--field", "a b=c"], "`--field code=VALUE`: it is missing"),
        (["--approve", "--field", "a b=c", "--field", "code=17"], """JSON in quotes: --field 'code="17"'"""),
    ):
        found = waypost("answer", run, "ask", *arguments, cwd=served)
        assert (found.returncode, expected in found.stderr) == (1, True), found.stderr
    quoted = waypost("answer", run, "ask", "--approve", "--field", "a b=c", "--field", 'code="17"', cwd=served)
    assert quoted.returncode == 0, quoted.stderr
    hooked = _start(served, "hooked", "waiting")
    approved = waypost("answer", hooked, "pick", "--name", "call", "--approve", cwd=served)
    assert "`--approve`: it is nothing that a wait for webhook takes" in approved.stderr


def test_an_unknown_run_is_reported_with_the_command_that_lists_runs(served: Path) -> None:
    run = _start(served, "asks", "waiting")
    for command in (
        ["answer", "run_x", "ask", "--approve"],
        ["resolve", "run_x", "ask", "--retry"],
        ["waits", "run_x"],
    ):
        missing = waypost(*command, cwd=served)
        assert (missing.returncode, missing.stderr) == (
            1,
            "waypost: there is no run whose id begins or ends with 'run_x'; `waypost runs` lists them\n",
        )
    step = waypost("answer", run, "asj", "--approve", cwd=served)
    assert "the run has no such step 'asj'; did you mean 'ask'" in step.stderr


def test_one_of_several_waits_is_answered_by_name_and_another_by_an_event(served: Path) -> None:
    run = _start(served, "hooked", "waiting")
    output = waypost("waits", cwd=served).stdout
    assert f"waypost answer {run} pick --name call --value JSON" in output
    assert "waypost emit 'order paid' --subject 7" in output
    nameless = waypost("answer", run, "pick", "--value", "1", cwd=served)
    assert "one of call, paid" in nameless.stderr
    assert waypost("answer", run, "pick", "--name", "call", "--value", '{"a": 1}', cwd=served).returncode == 0
    assert until(served, run, "completed")["outputs"]["said"]["output"]["body"] == {"a": 1}
    other = _start(served, "hooked", "waiting")
    emitted = waypost("emit", "order paid", "--subject", "7", "--value", "[1]", "--json", cwd=served)
    assert json.loads(emitted.stdout)["runs"] == []
    assert until(served, other, "completed")["outputs"]["said"]["name"] == "paid"


def test_an_uncertain_step_is_resolved_with_the_suggested_command(served: Path) -> None:
    run = _start(served, "parked", "paused")
    shown = waypost("show", run, cwd=served).stdout
    assert f"waypost resolve {run} pay --completed JSON | --retry | --failed" in shown
    assert "a decision" in shown
    resumed = waypost("resume", run, cwd=served)
    assert (resumed.returncode, "resolve 'pay'" in resumed.stderr) == (1, True)
    done = waypost("resolve", run, "pay", "--completed", '{"id": 1}', "--reason", "seen", cwd=served)
    assert done.returncode == 0, done.stderr
    assert until(served, run, "completed")["outputs"] == {"paid": {"id": 1}}


@pytest.mark.slow
def test_a_link_is_shown_with_the_present_address_of_the_service(place: Path) -> None:
    write(place, "asks", ASKS)
    with serving(place):
        run = _start(place, "asks", "waiting")
    for command in (["waits"], ["show", run]):
        offline = waypost(*command, cwd=place).stdout
        assert f"http://127.0.0.1:8400/waits/{run}/" in offline
        assert "no service is running now; the link works as soon as `waypost serve` runs" in offline
    moved = waypost("waits", cwd=place, WAYPOST_PUBLIC_URL="https://way.example")
    assert f"https://way.example/waits/{run}/" in moved.stdout
    with serving(place):
        with api(place) as asked:
            here = str(asked.base_url).rstrip("/")
        wanted = re.compile(rf"{re.escape(here)}/waits/{run}/\S+")
        links = {
            link
            for command in (["waits"], ["show", run])
            for link in wanted.findall(waypost(*command, cwd=place).stdout)
        }
        with httpx.Client(trust_env=False) as browser:
            assert [browser.get(link).status_code for link in links] == [200]
        assert "no service is running" not in waypost("waits", cwd=place).stdout


def test_without_a_service_waits_are_listed_and_answers_are_not_accepted(leftovers: Leftovers) -> None:
    waits = json.loads(waypost("waits", "--json", cwd=leftovers.place).stdout)
    assert [(wait["run"], wait["kind"]) for wait in waits] == [(leftovers.run, "approval")]
    for command in (
        ["answer", leftovers.run, "ask", "--approve"],
        ["resolve", leftovers.run, "x", "--retry"],
        ["resume", leftovers.run],
        ["emit", "x"],
    ):
        found = waypost(*command, cwd=leftovers.place)
        assert (found.returncode, "waypost serve" in found.stderr) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["answer", "r", "s", "--approve", "--reject"], "use either"),
        (["answer", "r", "s", "--value", "{"], "not JSON"),
        (["answer", "r", "s", "--field", "a"], "NAME=VALUE"),
        (["resolve", "r", "s"], "use one of"),
        (["resolve", "r", "s", "--retry", "--failed"], "use one of"),
        (["emit", "t", "--value", "@nowhere.json"], "nowhere.json"),
    ],
)
def test_a_usage_error_says_what_is_right(place: Path, arguments: list[str], expected: str) -> None:
    found = waypost(*arguments, cwd=place)
    assert found.returncode == 2
    assert expected in found.stderr


def test_a_history_is_exported_with_and_without_a_service(leftovers: Leftovers) -> None:
    exported = json.loads(leftovers.exported)
    assert exported.keys() == {"definition", "run", "entries"}
    assert exported["entries"][0]["links"]["key"] == "exported"
    assert waypost("history", leftovers.run, "--export", cwd=leftovers.place).stdout == leftovers.exported
    missing = waypost("history", "run_x", "--export", cwd=leftovers.place)
    assert (missing.returncode, "`waypost runs` lists them" in missing.stderr) == (1, True)


def test_deliveries_are_listed_with_their_outcome_and_reason(served: Path) -> None:
    delivery = _make_rejected_delivery(served)
    found = json.loads(waypost("deliveries", "--json", cwd=served).stdout)
    assert [(each["id"], each["trigger"], each["outcome"]) for each in found] == [(delivery, "greet/greet", "rejected")]
    assert "missing_signature" in waypost("deliveries", "--outcome", "rejected", cwd=served).stdout
    wrong = waypost("deliveries", "--outcome", "lost", cwd=served)
    assert (wrong.returncode, "accepted, duplicate" in wrong.stderr) == (2, True)


def test_deliveries_are_listed_without_a_service(leftovers: Leftovers) -> None:
    assert leftovers.delivery in waypost("deliveries", "--trigger", "greet/greet", cwd=leftovers.place).stdout
    other = waypost("deliveries", "--trigger", "greet/greeet", cwd=leftovers.place)
    assert other.returncode == 1
    assert "greet/greet" in other.stderr


@pytest.mark.parametrize(
    "command", ["waits", "runs", "show run_x", "pipelines", "schedules", "deliveries", "keys list"]
)
def test_commands_that_ask_a_running_service_do_not_import_the_journal(served: Path, command: str) -> None:
    imported = waypost(*command.split(), cwd=served, PYTHONPROFILEIMPORTTIME="1").stderr
    assert "triggers.reading.client" in imported
    for heavy in ("sqlalchemy", "jinja2", "durable.definition", "triggers.service\n"):
        assert heavy not in imported


def test_eighty_columns_never_cut_an_id(served: Path) -> None:
    run = _start(served, "asks", "waiting")
    deadline = time.monotonic() + 20
    fired = None
    with api(served) as asked:
        while fired is None and time.monotonic() < deadline:
            fired = asked.get("/api/schedules").json()["schedules"][0]["last"]
            time.sleep(0.01)
    assert fired
    for arguments, ids in (
        (["schedules"], ["sweep_with_a_long_name/often_enough"]),
        (["waits"], [run]),
        (["show", run], [run]),
    ):
        _, output = on_terminal(*arguments, cwd=served)
        plain = CONTROL.sub("", output)
        assert all(id in plain for id in ids), plain
        assert "…" not in plain or arguments[0] == "show"
        assert re.search(r"run_[0-9a-z]{26}", plain), "a schedule's last run too"
