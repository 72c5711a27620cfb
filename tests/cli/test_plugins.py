"""Connectors of other packages: found by entry points, and skipped if they cannot be loaded."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.cli.command import ROOT, api, serving, waypost
from tests.plugins import install
from triggers.config.catalogue import find_connectors, load_connectors
from triggers.not_found import NoConnectors

ECHO = """
import pathlib
from typing import Any

from connectors.wire.client import HttpClient
from connectors.wire.egress import Egress
from durable.action import Connector, Context, Inputs, action

pathlib.Path("imported").touch()


class Words(Inputs):
    words: str


@action("say", input=Words)
async def say(context: Context, input: Words) -> Any:
    \"\"\"Say the same, with the types of what connectors share.\"\"\"
    return [input.words, *(type(context.resource(kind)).__name__ for kind in (HttpClient, Egress))]


CONNECTOR = Connector("echo", "Echoes", (say,))
"""
PIPELINE = "steps:\n  - {id: said, use: echo.say, with: {words: hello}}\noutputs: {said: '{{ steps.said.output }}'}\n"

BROKEN = [
    pytest.param("echo:CONNECTOR", "raise RuntimeError('no such device')", "RuntimeError: no such device", id="error"),
    pytest.param("echo:CONNECTOR", "raise SystemExit(3)", "SystemExit: 3", id="exit"),
    pytest.param("echo:CONNECTOR", "import not_there", "ModuleNotFoundError: No module named 'not_there'", id="import"),
    pytest.param(
        "echo:CONNECTOR [sql]",
        "import not_there",
        "comes with the extra `sql`: install it with `pip install",
        id="extra",
    ),
    pytest.param("echo:CONNECTOR", "CONNECTOR = 1", "echo:CONNECTOR is not a durable.action.Connector", id="type"),
    pytest.param(
        "echo:CONNECTOR",
        "from connectors.log import CONNECTOR",
        "echo:CONNECTOR has the name 'log', and its entry point 'echo'",
        id="name",
    ),
]


@pytest.fixture
def site(place: Path) -> Path:
    """A folder of packages next to the pipelines `greet` and `echo`."""
    (place / "config" / "pipelines" / "echo.yaml").write_text(PIPELINE)
    return place / "site"


def path(site: Path) -> str:
    return f"{site}{os.pathsep}{ROOT}"


def test_a_connector_of_another_package_is_listed_without_an_import_and_works(place: Path, site: Path) -> None:
    install(site, "waypost-echo", {"echo": "echo:CONNECTOR"}, {"echo": ECHO})
    listed = waypost("connectors", cwd=place, PYTHONPATH=path(site)).stdout
    assert "echo       waypost-echo 1.0" in listed
    assert "http       waypost" in listed
    assert "flow       waypost" in listed
    assert not (place / "imported").exists()
    assert (
        "echo.say              Say the same"
        in waypost("connector", "show", "echo", cwd=place, PYTHONPATH=path(site)).stdout
    )
    assert (place / "imported").exists()
    run = json.loads(waypost("run", "echo", "--json", cwd=place, PYTHONPATH=path(site)).stdout)
    assert run["outputs"] == {"said": ["hello", "HttpClient", "Egress"]}


@pytest.mark.parametrize(("entry", "module", "why"), BROKEN)
def test_a_connector_that_cannot_be_loaded_is_named_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, module: str, why: str
) -> None:
    install(tmp_path, "waypost-echo", {"echo": entry}, {"echo": module})
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "echo", raising=False)
    found = load_connectors()
    assert found.find("echo") is None
    monkeypatch.delitem(sys.modules, "echo", raising=False)
    assert found.broken.keys() == {"echo"}
    assert why in found.broken["echo"]
    assert "http.get" in found.actions


def test_commands_name_a_connector_that_cannot_be_loaded(place: Path, site: Path) -> None:
    install(site, "waypost-echo", {"echo": "echo:CONNECTOR"}, {"echo": "raise RuntimeError('no such device')"})
    (place / "config" / "connections.yaml").write_text("far: {use: echo, words: x}\n")
    why = "the connector 'echo' cannot be used: RuntimeError: no such device"
    checked = waypost("validate", cwd=place, PYTHONPATH=path(site))
    assert checked.returncode == 1
    assert f"echo.yaml:2:21: error: {why}" in checked.stdout
    assert f"connections.yaml:1:12: error: {why}" in checked.stdout
    assert "1 of 2 pipelines are valid" in checked.stdout
    assert why in waypost("connector", "show", "echo", cwd=place, PYTHONPATH=path(site)).stderr
    assert waypost("connector", "show", "http", cwd=place, PYTHONPATH=path(site)).returncode == 0
    examined = waypost("doctor", cwd=place, WAYPOST_PORT="0", PYTHONPATH=path(site)).stdout.split()
    assert "6 connectors can be used; not echo: RuntimeError: no such device" in " ".join(examined)


def test_a_connector_that_cannot_be_loaded_disables_only_the_pipelines_that_use_it(place: Path, site: Path) -> None:
    install(site, "waypost-echo", {"echo": "echo:CONNECTOR"}, {"echo": "raise RuntimeError('no such device')"})
    with serving(place, PYTHONPATH=path(site)), api(place) as service:
        served = {each["id"]: each for each in service.get("/api/pipelines").json()["pipelines"]}
        assert served["greet"]["status"] == "serving"
        assert served["echo"]["status"] == "disabled"
        [problem] = served["echo"]["problems"]
        assert "the connector 'echo' cannot be used: RuntimeError: no such device" in problem
        assert service.post("/api/pipelines/greet/runs", json={"inputs": {"name": "Ada"}}).status_code == 202


def test_a_name_claimed_by_several_packages_is_rejected(place: Path, site: Path) -> None:
    install(site, "waypost-echo", {"echo": "echo:CONNECTOR"}, {"echo": ECHO})
    install(site, "another-echo", {"echo": "other:CONNECTOR"}, {"other": ECHO})
    why = "several packages have a connector of this name: another-echo 1.0, waypost-echo 1.0"
    checked = waypost("validate", cwd=place, PYTHONPATH=path(site))
    assert f"the connector 'echo' cannot be used: {why}" in checked.stdout
    assert not (place / "imported").exists()
    assert (
        "echo       another-echo 1.0, waypost-echo 1.0"
        in waypost("connectors", cwd=place, PYTHONPATH=path(site)).stdout
    )


@pytest.mark.parametrize(("name", "why"), [("http", "several packages have"), ("flow", "Waypost itself has actions")])
def test_no_package_replaces_a_built_in_connector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    install(tmp_path, "waypost-echo", {name: "echo:CONNECTOR"}, {})
    monkeypatch.syspath_prepend(str(tmp_path))
    found = load_connectors()
    assert found.find(name) is None
    assert found.broken.keys() == {name}
    assert why in found.broken[name]
    assert "log.write" in found.actions


def test_an_installation_without_entry_points_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(NoConnectors, match="install it again"):
        find_connectors()
