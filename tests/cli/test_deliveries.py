"""Commands about deliveries: read one, and take it in again."""

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import COMMAND, ENVIRONMENT, api, serving, waypost
from tests.cli.conftest import make_place, write

OPEN = """
triggers:
  - {id: in, use: webhook, with: {path: /open, verify: none}, when: trigger.body.n > 1}
steps:
  - {id: a, use: transform.set, with: {values: {}}}
"""
BODY = '{"n": 7, "naïve": "\\u001b[31m"}'.encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on which a service runs, with two deliveries."""
    place = make_place(tmp_path_factory.mktemp("served"))
    write(place, "open", OPEN)
    with serving(place), api(place) as asked:
        headers = {"content-type": "application/json", "cookie": "session=canary", "x-note": "it's"}
        asked.post("/hooks/open?a=1&b=%20", content=BODY, headers=headers).raise_for_status()
        asked.post("/hooks/open", content=b"\x00\xffPNG" * 100, headers={"content-type": "image/png"})
        while len(asked.get("/api/deliveries").json()["deliveries"]) < 2:
            pass
        yield place


def _list(place: Path) -> list[str]:
    return [each["id"] for each in json.loads(waypost("deliveries", "--json", cwd=place).stdout)]


def test_a_delivery_is_shown_with_its_request_and_what_to_do_next(served: Path) -> None:
    file, accepted = _list(served)
    shown = waypost("delivery", accepted[-8:], cwd=served)
    assert shown.returncode == 0, shown.stderr
    assert "POST /hooks/open?a=1&b=%20" in shown.stdout
    assert "x-note: it's" in shown.stdout
    assert "cookie: (a credential, stored only as a hash: " in shown.stdout
    assert '"n": 7' in shown.stdout
    assert f"waypost replay {accepted}" in shown.stdout
    assert "canary" not in shown.stdout
    assert "\x1b" not in shown.stdout
    dumped = waypost("delivery", file, cwd=served).stdout
    assert "filtered" in dumped
    assert "00 ff 50 4e 47" in dumped


def test_the_body_is_written_byte_for_byte(served: Path) -> None:
    _, accepted = _list(served)
    written = subprocess.run(
        [*COMMAND, "delivery", accepted, "--raw"], cwd=served, env=ENVIRONMENT, capture_output=True, check=True
    )
    assert written.stdout == BODY
    curl = waypost("delivery", accepted, "--curl", cwd=served).stdout
    assert "--data-binary @" in curl
    assert "-H 'x-note: it'\"'\"'s'" in curl
    assert "cookie: <THE CREDENTIAL>" in curl


def test_deliveries_are_replayed_and_what_fails_is_said_for_each(served: Path) -> None:
    file, accepted = _list(served)
    done = waypost("replay", accepted, file, "dlv_nothing", "--reason", "again", cwd=served)
    assert done.returncode == 1
    assert f"replays {accepted} on open" in done.stdout
    assert f"{file}: " in done.stderr
    assert "`when` is false" in done.stderr or "`when` failed" in done.stderr
    run = done.stdout.split()[0]
    assert json.loads(waypost("show", run, "--json", cwd=served).stdout)["source"]["reason"] == "again"
    assert run in waypost("delivery", accepted, cwd=served).stdout


def test_deliveries_are_filtered(served: Path) -> None:
    file, accepted = _list(served)
    event = json.loads(waypost("delivery", accepted, "--json", cwd=served).stdout)["event"]
    assert accepted in waypost("deliveries", "--event", event, cwd=served).stdout
    assert file not in waypost("deliveries", "--event", event, cwd=served).stdout
    assert file in waypost("deliveries", "--from", "1h", "--outcome", "filtered", cwd=served).stdout
    assert "there are no such deliveries" in waypost("deliveries", "--until", "1h", cwd=served).stdout


def test_a_delivery_is_read_without_a_service(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    write(place, "open", OPEN)
    with serving(place), api(place) as asked:
        asked.post("/hooks/open", content=BODY).raise_for_status()
    [delivery] = _list(place)
    assert "accepted" in waypost("delivery", "latest", cwd=place).stdout
    assert waypost("delivery", delivery, "--raw", cwd=place).stdout.encode() == BODY
    refused = waypost("replay", delivery, cwd=place)
    assert (refused.returncode, "waypost serve" in refused.stderr) == (3, True)
    with contextlib.closing(sqlite3.connect(place / ".waypost" / "journal.sqlite")) as journal:
        journal.execute("DELETE FROM runs")
        journal.commit()
    assert "none: retention has removed them" in waypost("delivery", "latest", cwd=place).stdout
