"""`--all` of commands, and `waypost bulk`, as processes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import api, on_terminal, serving, until, waypost

HELD = {"delay": "1h", "inputs": {"name": "Ada"}}


def start_held(place: Path, count: int, *tags: str) -> list[str]:
    """Start runs that begin in an hour."""
    with api(place) as asked:
        runs = [{**HELD, "tags": list(tags)}] * count
        answers = asked.post("/api/pipelines/greet/runs/batch", json={"runs": runs}).json()["answers"]
    return [each["run"]["id"] for each in answers]


@pytest.fixture
def served(place: Path) -> Iterator[Path]:
    """A folder with a service at work on it."""
    with serving(place):
        yield place


def test_cancel_all_shows_what_matches_and_cancels_it(served: Path) -> None:
    runs = start_held(served, 3, "eu")
    (spared,) = start_held(served, 1)
    done = waypost("cancel", "--all", "--tag", "eu", "--reason", "an outage", "--yes", "--rate", "1000", cwd=served)
    assert done.returncode == 0, done.stderr
    assert "cancel 3 runs: unfinished runs with the tag 'eu' that started before " in done.stderr
    assert re.search(rf"oldest +{runs[0]} .*\n +newest +{runs[2]} ", done.stderr)
    found = re.search(r"(blk_\w{26}) is finished: 3 done, 0 refused", done.stderr)
    assert found
    reasons = {until(served, run, "cancelled")["reason"] for run in runs}
    assert reasons == {f"bulk {found[1]}: an outage"}
    assert until(served, spared, "queued")
    shown = waypost("bulk", "show", "latest", cwd=served).stdout
    assert f"{found[1]}  cancel  finished  3 of 3" in shown
    assert all(run in shown for run in runs)
    assert len(re.findall(r" done +run_\w{26} +cancelled\n", shown)) == 3
    listed = waypost("bulk", "list", cwd=served).stdout
    assert re.search(rf"{found[1]} +cancel +finished +3 of 3 ", listed)


def test_without_a_terminal_nothing_is_done_until_it_is_confirmed(served: Path) -> None:
    (run,) = start_held(served, 1)
    refused = waypost("cancel", "--all", cwd=served)
    assert refused.returncode == 2
    assert "nothing was done: add --yes to confirm without a terminal" in refused.stderr
    assert until(served, run, "queued")


def test_all_that_matches_nothing_is_fine_and_says_so(served: Path) -> None:
    done = waypost("cancel", "--all", "--tag", "nobody", cwd=served)
    assert done.returncode == 0
    assert "there is nothing to cancel: no unfinished runs with the tag 'nobody' that started before " in done.stderr


def test_a_bulk_can_be_stopped_and_resumed_by_a_short_id(served: Path) -> None:
    start_held(served, 30)
    created = waypost("cancel", "--all", "--yes", "--rate", "1", "--no-follow", cwd=served)
    bulk = created.stdout.strip()
    assert bulk.startswith("blk_")
    stopped = waypost("bulk", "stop", bulk[-8:], cwd=served)
    assert stopped.returncode == 0
    assert f"{bulk} is stopped: " in stopped.stderr
    assert f"`waypost bulk resume {bulk}` continues it" in stopped.stderr
    assert waypost("bulk", "resume", bulk, "--rate", "1000", cwd=served).returncode == 0
    followed = waypost("bulk", "follow", bulk, "--json", cwd=served)
    assert json.loads(followed.stdout)["done"] == 30


def test_replay_all_takes_deliveries_in_again_and_names_the_webhook(served: Path) -> None:
    with api(served) as asked:
        assert asked.post("/hooks/greet", json={"name": "Ada"}).status_code == 401
    missing = waypost("replay", "--all", "--yes", cwd=served)
    assert missing.returncode == 1
    assert "`filter.outcome`: it is missing; name one, such as rejected or filtered" in missing.stderr
    done = waypost("replay", "--all", "--outcome", "rejected", "--webhook", "greet/greet", "--yes", cwd=served)
    assert "replay 1 delivery: rejected deliveries to the webhook 'greet/greet' that arrived before " in done.stderr
    assert "is finished: 0 done, 1 refused" in done.stderr
    assert "signature" in waypost("bulk", "show", "latest", cwd=served).stdout


def test_a_bulk_is_read_without_a_service(place: Path) -> None:
    with serving(place):
        start_held(place, 1)
        bulk = json.loads(waypost("cancel", "--all", "--yes", "--json", cwd=place).stdout)["id"]
    assert bulk in waypost("bulk", "list", cwd=place).stdout
    shown = json.loads(waypost("bulk", "show", "latest", "--outcome", "done", "--json", cwd=place).stdout)
    assert shown["bulk"]["id"] == bulk
    assert [each["outcome"] for each in shown["items"]] == ["done"]
    missing = waypost("bulk", "show", "blk_" + "0" * 26, cwd=place)
    assert missing.returncode == 1
    assert "`waypost bulk list` lists them" in missing.stderr


def test_on_a_terminal_it_asks_and_no_changes_nothing(served: Path) -> None:
    (run,) = start_held(served, 1)
    code, said = on_terminal("cancel", "--all", cwd=served, typed="n\n")
    assert code == 1
    assert "Cancel 1 run?" in said
    assert "nothing was done" in said
    assert until(served, run, "queued")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cancel",), "name at least one, or use --all with filters"),
        (("cancel", "run_1", "--all"), "use it or --all, not both"),
        (("cancel", "run_1", "--tag", "eu"), "'--tag': it can only be used with --all"),
        (("cancel", "run_1", "--from", "2h"), "'--from': it can only be used with --all"),
        (("replay", "dlv_1", "--until", "2h"), "'--until': it can only be used with --all"),
        (("replay", "--all", "--to", "greet"), "'--to': it cannot be used with --all; `--until` bounds the time"),
        (("cancel", "--all", "--status", "busy"), "'busy' is not one of queued"),
    ],
)
def test_one_run_or_all_that_match_are_named_never_both(place: Path, arguments: tuple[str, ...], message: str) -> None:
    refused = waypost(*arguments, cwd=place, COLUMNS="200")
    assert refused.returncode == 2
    assert message in refused.stderr
