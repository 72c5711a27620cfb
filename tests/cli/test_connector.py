"""`waypost connectors` and `waypost connector`: list, create and document connectors."""

import json
from pathlib import Path

import pytest

from durable.language.load import load_pipeline
from durable.lazy import find_entry_points
from durable.secrets import Secrets
from tests.cli.command import waypost
from triggers.config.catalogue import load_connectors
from triggers.config.connections import Connections
from triggers.config.connector_files import FORMS
from triggers.config.describe_connector import describe_action, describe_connector
from triggers.config.folder import make_catalogue
from triggers.kinds import list_models

FORM_NAMES = sorted({entry.name for entry in find_entry_points(FORMS)})


def test_the_actions_of_a_connector_and_the_inputs_of_an_action_are_shown(place: Path) -> None:
    shown = waypost("connector", "show", "http", cwd=place).stdout
    assert "http.get      yes           Read something with a GET request." in shown
    assert "log.write" not in shown
    assert "http.post" not in waypost("connector", "show", "http", "--search", "read get", cwd=place).stdout
    action = json.loads(waypost("connector", "show", "log.write", "--json", cwd=place).stdout)
    inputs = {each["name"]: each for each in action["inputs"]}
    assert inputs["message"] | {"options": None} == {
        "name": "message",
        "type": "string",
        "required": True,
        "default": None,
        "description": "The message",
        "options": None,
    }
    assert inputs["level"]["type"] == '"debug" | "info" | "warning" | "error"'
    assert inputs["level"]["default"] == "info"


def test_connections_of_the_connector_and_problems_of_others_are_shown(place: Path) -> None:
    (place / "config" / "connections.yaml").write_text("crm: {use: http, base_url: https://a.b}\nstock: {use: http}\n")
    shown = waypost("connector", "show", "http", cwd=place)
    assert shown.returncode == 0
    assert "connections crm" in shown.stdout
    assert "config/connections.yaml:2:8: error: 'base_url' is missing" in shown.stderr
    names = {
        name: json.loads(waypost("connector", "show", name, "--json", cwd=place).stdout) for name in ("log", "http")
    }
    assert (names["http"]["connections"], names["log"]["connections"]) == (["crm"], [])


def test_the_key_the_undo_and_the_options_of_an_action_are_shown(place: Path) -> None:
    shown = waypost("connector", "show", "slack.post_message", cwd=place).stdout
    assert 'undo       slack.delete_message with {"channel": "{{ output.channel }}"' in shown
    assert "listed by list_channels" in shown
    assert "ts       string  The id of the message in its channel" in shown
    assert "key        header Idempotency-Key, at most 255 characters" in (
        waypost("connector", "show", "stripe.refund", cwd=place).stdout
    )


def test_every_example_of_every_action_and_connection_is_valid(tmp_path: Path) -> None:
    connectors = load_connectors()
    examples = [
        found.example for name in connectors.names if (found := describe_connector(connectors, name, ())).example
    ]
    (tmp_path / "connections.yaml").write_text("".join(examples))
    secrets = Secrets({f"WAYPOST_SECRET_{name}_{field}": "s-3cret-11" for name, field in SECRET_FIELDS})
    connections = Connections(tmp_path, connectors, secrets)
    assert connections.problems == ()
    assert connections.names == ["github", "http", "slack", "stripe"]
    catalogue = make_catalogue(connectors, list_models())
    uses = list(connectors.actions)
    assert len(uses) > 20
    for use in uses:
        text = f"steps:\n{describe_action(connectors, use, ()).example}"
        loaded = load_pipeline(
            text.encode(),
            file="example.yaml",
            catalogue=catalogue,
            secrets=secrets.has,
            connections=connections.find_connector,
            connection_names=connections.names,
        )
        assert loaded.problems == (), text


SECRET_FIELDS = (("SLACK", "TOKEN"), ("GITHUB", "TOKEN"), ("STRIPE", "KEY"))


@pytest.mark.parametrize("form", FORM_NAMES)
def test_a_new_connector_is_valid_listed_and_documented_at_once(place: Path, form: str) -> None:
    made = waypost("connector", "new", "shop", "--form", form, cwd=place)
    assert made.returncode == 0, made.stderr
    assert "config/connectors/shop." in made.stdout
    assert "1 of 1 connectors are valid" in waypost("validate", cwd=place).stdout
    assert waypost("validate", cwd=place).returncode == 0
    assert "shop       config/connectors/shop." in waypost("connectors", cwd=place).stdout
    shown = json.loads(waypost("connector", "show", "shop", "--json", cwd=place).stdout)
    if form == "mcp":  # whose tools are known once its server has answered
        assert "cannot be started: No such file or directory: my-mcp-server" in shown["problem"]
        return
    assert shown["actions"]
    checked = waypost("connector", "check", "shop", cwd=place)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert " checks passed, 0 failed, " in checked.stdout
    again = waypost("connector", "new", "shop", "--form", "python", cwd=place)
    assert again.returncode == 1
    assert "already exists; nothing was written" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["new", "Shop"], 2, "'Shop' cannot be the name of a connector"),
        (["new", "shop", "--form", "ymal"], 2, "there is no form 'ymal'; did you mean 'yaml'"),
        (["new", "flow"], 2, "Waypost itself has actions named 'flow'"),
        (["new", "slack"], 1, "a connector 'slack' is installed"),
        (["show", "htp"], 1, "there is no connector or action 'htp'; did you mean 'http'"),
        (["show", "slack.post"], 1, "did you mean 'slack.post_message'"),
        (["show", "slack.zzz"], 1, "known: slack.auth_test, slack.delete_message"),
    ],
)
def test_a_wrong_name_is_refused_with_what_to_do(place: Path, arguments: list[str], code: int, expected: str) -> None:
    done = waypost("connector", *arguments, cwd=place)
    assert done.returncode == code
    assert expected in done.stderr


def test_a_failed_check_is_explained(place: Path) -> None:
    waypost("connector", "new", "shop", cwd=place)
    file = place / "config" / "connectors" / "shop.yaml"
    file.write_text(file.read_text().replace("output: {id: 7", "output: {id: 8"))
    checked = waypost("connector", "check", "shop", cwd=place)
    assert checked.returncode == 1
    assert "failed  shop.create_item: test 1" in checked.stdout
    assert 'the output is {"id":7,"name":"Tea"}, not {"id":8,"name":"Tea"}' in checked.stdout
    results = json.loads(waypost("connector", "check", "shop.list_items", "--json", cwd=place).stdout)["results"]
    assert {each["verdict"] for each in results} == {"passed", "skipped"}
    assert {each["action"] for each in results} == {"list_items"}
    core = waypost("connector", "check", "flow", cwd=place)
    assert (core.returncode, core.stderr) == (2, "waypost: flow is part of Waypost itself and calls no service\n")
