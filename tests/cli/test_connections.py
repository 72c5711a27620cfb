"""Commands about connections, with a running service and without one."""

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest

from tests.cli.command import gate, serving, start_command, waypost
from tests.connectors.token_service import TokenService, serve_tokens

LOCAL = {"WAYPOST_EGRESS_ALLOW": "127.0.0.0/8"}
NAMES = ("here", "closed", "hree")
FILE = """
here: {{use: http, base_url: {url}, test: {{use: http.get, with: {{url: /health}}}}}}
closed: {{use: http, base_url: http://127.0.0.1:1, test: {{use: http.get, with: {{url: /}}}}}}
new: {{use: http, base_url: https://a.b, auth: {{bearer: "{{{{ secrets.GONE }}}}"}}}}
"""


def test_connections_are_listed(place: Path) -> None:
    (place / "config" / "connections.yaml").write_text(FILE.format(url="https://a.b"))
    listed = json.loads(waypost("connections", "list", "--json", cwd=place).stdout)
    assert [(each["name"], each["status"]) for each in listed] == [
        ("closed", "ready"),
        ("here", "ready"),
        ("new", "lacks_secret"),
    ]
    shown = waypost("connections", "list", cwd=place).stdout
    assert "lacks secret" in shown
    assert "secret GONE is not set" in " ".join(shown.split())


def test_a_connection_is_tested_with_and_without_a_service(place: Path) -> None:
    with gate() as service:
        service.opened.set()
        (place / "config" / "connections.yaml").write_text(FILE.format(url=service.url))
        alone = waypost("connections", "test", "here", cwd=place, **LOCAL)
        with serving(place, **LOCAL):
            works, fails, unknown = (waypost("connections", "test", name, cwd=place) for name in NAMES)
    for tested in (alone, works):
        assert (tested.returncode, tested.stderr) == (0, "")
        assert tested.stdout.startswith("here works: http.get answered in ")
    assert (fails.returncode, fails.stderr) == (1, "")
    assert fails.stdout.startswith("closed does not work: GET http://127.0.0.1:1: ")
    assert unknown.returncode == 1
    assert "there is no connection 'hree'; `waypost connections list` lists them" in unknown.stderr


def write_login(place: Path, service: TokenService) -> dict[str, str]:
    """Write a connection that needs a login, and make a store key; returns the environment of a service."""
    auth = {"oauth2": {**service.settings, "client_secret": "{{ secrets.CLIENT }}"}}
    written = {"crm": {"use": "http", "base_url": service.url, "auth": auth}}
    (place / "config" / "connections.yaml").write_text(json.dumps(written))
    assert waypost("secrets", "key", "new", "store.key", cwd=place).returncode == 0
    key = {"WAYPOST_STORE_KEY_FILE": str(place / "store.key")}
    return {**LOCAL, **key, "WAYPOST_SECRET_CLIENT": "canary-secret"}


def log_in(place: Path, *, is_pasted: bool) -> tuple[int | None, str]:
    """Log a connection in as a person does; returns the exit code and what was printed at the end."""
    with start_command("connections", "login", "crm", *(["--paste"] if is_pasted else []), cwd=place) as command:
        assert command.stderr
        assert command.stdin
        shown = ""
        while not (found := re.search(r"(http\S+authorize\S+)\n", shown)):
            shown += command.stderr.readline()
        with httpx.Client(trust_env=False, verify=False) as browser:
            answer = browser.get(found[1])
            if is_pasted:
                command.stdin.write(answer.headers["location"] + "\n")
                command.stdin.flush()
            else:
                browser.get(answer.headers["location"])
        return command.wait(60), command.stdout.read() if command.stdout else ""


@pytest.mark.anyio
async def test_a_connection_is_logged_in_and_out(place: Path) -> None:
    async with serve_tokens() as outside:
        environment = write_login(place, outside)

        def use_commands() -> None:
            alone = waypost("connections", "login", "crm", cwd=place, **environment)
            with serving(place, **environment):
                logins = [log_in(place, is_pasted=is_pasted) for is_pasted in (False, True)]
                outside.denies = True
                denied = log_in(place, is_pasted=False)
            listed = json.loads(waypost("connections", "list", "--json", cwd=place, **environment).stdout)
            done = waypost("connections", "logout", "crm", cwd=place, **environment)
            again = waypost("connections", "logout", "crm", cwd=place, **environment)
            advised = waypost("doctor", cwd=place, **environment).stdout
            assert (alone.returncode, "start one with `waypost serve`" in alone.stderr) == (3, True)
            message = "The connection crm is logged in. You can close this page."
            assert [(code, message in told) for code, told in logins] == [(0, True), (0, True)]
            assert (denied[0], "access_denied" in denied[1]) == (1, True)
            assert [each["status"] for each in listed] == ["ready"]
            assert "crm is logged out, but its tokens were not revoked" in done.stdout
            assert again.stdout == "crm was not logged in\n"
            assert "nobody has logged it in" in " ".join(advised.split())

        await asyncio.to_thread(use_commands)


@pytest.mark.anyio
async def test_a_login_without_a_store_key_exits_with_2(place: Path) -> None:
    async with serve_tokens() as outside:
        environment = write_login(place, outside) | {"WAYPOST_STORE_KEY_FILE": ""}
        with serving(place, **environment):
            refused = await asyncio.to_thread(waypost, "connections", "login", "crm", cwd=place, **environment)
    assert (refused.returncode, "`waypost secrets key new FILE`" in refused.stderr) == (2, True)
