"""What holds for every connector that Waypost brings along."""

import re

import pytest

from connectors import BUILT_IN
from durable.action import Action

ACTIONS = [
    pytest.param(action, id=f"{connector.name}.{action.name}") for connector in BUILT_IN for action in connector.actions
]


def test_names_are_unique() -> None:
    assert len({connector.name for connector in BUILT_IN}) == len(BUILT_IN)
    for connector in BUILT_IN:
        assert len({action.name for action in connector.actions}) == len(connector.actions)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_described(action: Action) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", action.name)
    assert action.summary.endswith(".")
    for model in (action.input, action.output):
        for name, field in model.model_fields.items() if model else ():
            assert field.description, f"{name} of {model} has no description"


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_refuses_unknown_inputs(action: Action) -> None:
    assert action.input.model_config.get("extra") == "forbid"
