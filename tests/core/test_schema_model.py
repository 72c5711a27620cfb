"""Models of JSON Schemas: what they accept, and what they say about the rest."""

import pytest
from pydantic import ValidationError

from durable.declared import write_texts
from durable.known_values import explain_missing, is_template
from durable.language.outputs import find_modelled
from durable.language.validation import find_data_problems
from durable.runner.output import list_problems
from durable.schema_model import ensure_valid_schema, make_inputs_schema, make_model
from durable.values import JSON

INPUTS = make_inputs_schema(
    {
        "channel": {"type": "string", "description": "Where to post"},
        "count": {"type": "integer", "default": 3},
        "style": {"type": "object", "properties": {"size": {"type": "integer"}}, "default": {}},
        "labels": {"type": "array", "items": {"type": "string"}, "default": []},
    }
)
MODEL = make_model("Post", INPUTS)


def test_defaults_are_filled_in() -> None:
    made = MODEL.model_validate({"channel": "C1"})
    assert made.model_dump(by_alias=True) == {"channel": "C1", "count": 3, "style": {}, "labels": []}


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({}, [("channel",)]),
        ({"chanel": "C1"}, [("channel",), ("chanel",)]),
        ({"channel": 3, "count": "a", "style": {"size": "{{ 1 }}"}}, [("channel",), ("count",)]),
        ({"channel": "{{ x }}", "count": "{{ n }}", "style": "{{ x }}", "labels": ["{{ x }}", 3]}, [("labels", 1)]),
        ({"channel": "C1", "style": "a {{ x }}"}, [("style",)]),
        ("C1", [()]),
    ],
)
def test_problems_have_the_place_of_the_value(given: JSON, places: list[tuple[str | int, ...]]) -> None:
    found = find_data_problems(MODEL, given, is_open=is_template)
    assert {each.pointer for each in found} == set(places)


def test_null_is_valid_only_where_it_is_the_default() -> None:
    model = make_model(
        "Reply", make_inputs_schema({"to": {"type": "string", "default": None}, "text": {"type": "string"}})
    )
    assert model.model_validate({"to": None, "text": "a"}).root == model.model_validate({"text": "a"}).root
    with pytest.raises(ValidationError):
        model.model_validate({"text": None})


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string", "default": None}, {"type": ["string", "null"], "default": None}),
        ({"default": None}, {"default": None}),
        ({"type": "string", "default": "a"}, {"type": "string", "default": "a"}),
        (
            {"enum": ["a"], "default": None, "description": "It"},
            {"default": None, "description": "It", "anyOf": [{"enum": ["a"]}, {"type": "null"}]},
        ),
    ],
)
def test_the_schema_of_a_model_says_so(schema: dict[str, JSON], shown: JSON) -> None:
    model = make_model("one", make_inputs_schema({"a": schema}))
    assert model.model_json_schema()["properties"]["a"] == shown


def test_a_value_that_does_not_match_is_refused() -> None:
    with pytest.raises(ValidationError):
        MODEL.model_validate({"channel": None})


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^x"},
        {"not": {"type": "string"}},
        {"oneOf": [{"type": "integer"}, {"type": "null"}]},
        {"enum": [1, None]},
        {"maxLength": 4},
        {"type": "array"},
    ],
)
def test_what_does_not_match_is_never_quoted(schema: dict[str, JSON]) -> None:
    model = make_model("Login", make_inputs_schema({"token": schema}))
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"token": "canary" * 100})
    shown = list_problems(caught.value)
    assert shown.startswith("token: ")
    assert "canary" not in shown


def test_an_invalid_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JSON Schema"):
        ensure_valid_schema({"type": "strong"})


def test_a_schema_that_contains_itself_many_times_is_read_in_bounded_work() -> None:
    itself = {f"a{number}": {"$ref": "#/$defs/tree"} for number in range(20)}
    tree = {"type": "object", "properties": {**itself, "name": {"type": "string"}}}
    model = make_model("tree", {"type": "object", "properties": itself, "$defs": {"tree": tree}})
    assert write_texts(model, {"a1": {"name": 7}}) == {"a1": {"name": "7"}}
    assert explain_missing(find_modelled(model), ["a1", "a2", "nam"], ["output"]) is not None
