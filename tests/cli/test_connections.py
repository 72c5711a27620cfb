"""Commands about connections, with a running service and without one."""

import json
from pathlib import Path

from tests.cli.command import gate, serving, waypost

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
    assert "there is no connection 'hree'" in unknown.stderr
