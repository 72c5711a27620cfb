"""Rules for every connector that ships with Waypost."""

import re

import pytest

from connectors import http, log, transform
from durable.action import Action

CONNECTORS = (http.CONNECTOR, log.CONNECTOR, transform.CONNECTOR)
ACTIONS = [
    pytest.param(action, id=f"{connector.name}.{action.name}")
    for connector in CONNECTORS
    for action in connector.actions.values()
]


def test_actions_are_listed_by_their_names() -> None:
    for connector in CONNECTORS:
        assert all(action.name == name for name, action in connector.actions.items())


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_is_described(action: Action) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", action.name)
    assert action.summary.endswith(".")
    for model in (action.input, action.output):
        for name, field in model.model_fields.items() if model else ():
            assert field.description, f"{name} of {model} has no description"


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_rejects_unknown_inputs(action: Action) -> None:
    assert action.input.model_config.get("extra") == "forbid"
