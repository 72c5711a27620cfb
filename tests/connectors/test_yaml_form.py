"""The files of declarative connectors: what they compile to, and what is said about mistakes."""

from pathlib import Path

import pytest

from connectors.declared.compiled import decode_action
from connectors.yaml_form.load import load_connector
from durable.action import Connector
from durable.values import JSON

SHIPPED = sorted((Path(__file__).parents[2] / "connectors").glob("*.yaml"))

BEGINNING = """\
about: A shop
connection:
  fields: {token: {type: string, secret: true}, shop: {type: string, default: main}}
  auth: [{bearer: "{{ connection.token }}"}]
http: {base_url: https://api.example.com}
actions:
"""


def load(actions: str, beginning: str = BEGINNING) -> Connector:
    loaded = load_connector(beginning + actions, "shop.yaml")
    assert loaded.connector, [str(problem) for problem in loaded.problems]
    return loaded.connector


def compile_one(action: str) -> dict[str, JSON]:
    """The stored form of one action, written as a flow mapping."""
    [made] = load(f"  one: {{about: It, {action}}}\n").actions.values()
    assert isinstance(made.stored, dict)
    decode_action(made.stored)
    return made.stored


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_each_shipped_file_is_a_connector_without_problems(file: Path) -> None:
    loaded = load_connector(file.read_bytes(), str(file))
    assert loaded.problems == ()
    assert loaded.connector is not None
    assert loaded.connector.name == file.stem
    assert loaded.connector.test in loaded.connector.actions
    for action in loaded.connector.actions.values():
        assert action.summary.endswith(".")
        assert all("description" in each for each in action.input.model_json_schema()["properties"].values())
