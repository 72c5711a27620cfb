"""The editor schema: it accepts what the loader accepts, and rejects structural mistakes."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from durable.action import Action, Inputs
from durable.blocks.core_actions import CORE_INPUTS
from durable.language.catalogue import Catalogue
from durable.language.editor_schema import make_pipeline_schema
from durable.values import JSON
from durable.yaml.document import YamlDocument
from tests.language.mistakes import Mistake
from tests.language.test_load import CATALOGUE, MISTAKES, NEARLY_EVERYTHING, SMALL, do_nothing, load_text
from triggers.config.catalogue import load_connectors
from triggers.config.schema import schema_text
from triggers.webhooks.presets import GENERIC, load_presets

ROOT = Path(__file__).parent.parent.parent
SHIPPED = sorted((ROOT / "config" / "pipelines").glob("*.yaml"))
INSTALLED = json.loads(schema_text(load_connectors()))
STAND_INS = make_pipeline_schema(CATALOGUE)
EDITOR = jsonschema_rs.Draft7Validator(INSTALLED)
STAND_IN_EDITOR = jsonschema_rs.Draft7Validator(STAND_INS)


def read(text: str) -> JSON:
    return YamlDocument.read(text, "sample.yaml").data


def list_errors(validator: jsonschema_rs.Draft7Validator, data: JSON) -> list[str]:
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(data)]


@pytest.mark.parametrize("schema", [INSTALLED, STAND_INS], ids=["installed", "stand-ins"])
def test_it_is_a_self_contained_draft_7_schema(schema: dict[str, Any]) -> None:
    jsonschema_rs.meta.validate(schema)
    named = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema)))

    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert named <= {f"#/definitions/{name}" for name in schema["definitions"]}


def test_it_does_not_depend_on_the_order_of_installed_connectors() -> None:
    backwards = Catalogue(
        actions=dict(reversed([*CATALOGUE.actions.items()])),
        triggers=dict(reversed([*CATALOGUE.triggers.items()])),
    )

    assert json.dumps(make_pipeline_schema(backwards)) == json.dumps(STAND_INS)


# -- accepted files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_pipeline_is_valid(path: Path) -> None:
    assert list_errors(EDITOR, read(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("text", [NEARLY_EVERYTHING, SMALL], ids=["nearly everything", "small"])
def test_the_whole_language_is_valid(text: str) -> None:
    assert list_errors(STAND_IN_EDITOR, read(text)) == []


PARTS = st.sampled_from(
    [
        "a",
        "http.get",
        "wait.event",
        "flow.stop",
        "{{ inputs.order }}",
        "30s",
        "fail",
        5,
        None,
        [],
        {},
        {"a": "b"},
        ["a"],
    ]
).map(deepcopy)
KEYS = st.sampled_from(["id", "use", "with", "if", "timeout", "keep", "on_timeout", "steps", "retry", "inputs", "url"])


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every container in the data, with every key or index in it."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in items for place in [(data, key), *places(value)]]


@given(st.sampled_from([NEARLY_EVERYTHING, SMALL]), st.data())
@settings(max_examples=400, deadline=None)
def test_the_schema_accepts_what_the_loader_accepts(text: str, draw: st.DataObject) -> None:
    data = read(text)
    for _ in range(draw.draw(st.integers(1, 3))):
        owner, key = draw.draw(st.sampled_from(places(data)))
        match draw.draw(st.sampled_from(["remove", "replace", "add"])):
            case "remove":
                del owner[key]
            case "add" if isinstance(owner, dict):
                owner[draw.draw(KEYS)] = draw.draw(PARTS)
            case _:
                owner[key] = draw.draw(PARTS)

    if load_text(json.dumps(data)).pipeline:
        assert list_errors(STAND_IN_EDITOR, data) == []


# -- rejected files -----------------------------------------------------------------------------------------------

SHAPE = re.compile(
    "unknown key|is missing|must be |is empty|' is not a duration|' is not (a valid name|a type)|has no unit"
    "|is not the name of an action|cannot undo"
    "|there is no (connector|kind of trigger)|has no action|does not go with|does nothing|has one kind|needs 'steps'"
    "|changes nothing|could run forever|does not say what happens|never happens"
)
"""What is said of mistakes that show without the rest of the file and without reading expressions."""

OF_SHAPE = [mistake for mistake in MISTAKES if SHAPE.search(mistake.said[0][2])]


@pytest.mark.parametrize("mistake", OF_SHAPE, ids=lambda mistake: mistake.said[0][2])
def test_a_structural_mistake_is_rejected(mistake: Mistake) -> None:
    assert not STAND_IN_EDITOR.is_valid(read(mistake.text))


def test_more_than_fifty_mistakes_are_structural() -> None:
    print(f"\n{len(OF_SHAPE)} of {len(MISTAKES)} mistakes are refused in an editor already")

    assert len(OF_SHAPE) > 50


def with_verify(verify: JSON) -> JSON:
    trigger: JSON = {"id": "a", "use": "webhook", "with": {"path": "/a", "verify": verify}}
    return {"triggers": [trigger], "steps": [{"id": "b", "use": "flow.stop"}]}


@pytest.mark.parametrize(
    "verify",
    [
        "none",
        "{preset: github, secret: a}",
        "{preset: svix, secret: [a, b]}",
        "{preset: hmac, header: x-a, algorithm: sha512, encoding: base64, prefix: v1=, secret: a}",
        "{preset: token, header: x-a, secret: a}",
        "{scheme: {sig: {header: x-a}}, secret: a}",
        "{scheme: {sig: {header: x-a, items: ',', kv: =, field: v1}, ts: {ref: sig:t, tolerance: 3m}, "
        "signed: [ts, {const: .}, body], dedupe: body:id}, secret: a}",
        "{scheme: {kind: token, carrier: bearer, dedupe: header:x-id}, secret: a}",
    ],
)
def test_every_form_of_verify_is_valid(verify: str) -> None:
    assert list_errors(EDITOR, with_verify(read(verify))) == []


SPELT_OUT = yaml.safe_load((ROOT / "triggers" / "webhooks" / "presets.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(SPELT_OUT))
def test_every_known_scheme_can_be_written_out(name: str) -> None:
    assert list_errors(EDITOR, with_verify({"scheme": SPELT_OUT[name], "secret": "a"})) == []


@pytest.mark.parametrize("name", sorted(load_presets()))
def test_verify_token_is_required_for_its_presets_and_rejected_for_others(name: str) -> None:
    shown = load_presets()[name].handshake
    is_needed = shown is not None and shown.token is not None

    assert EDITOR.is_valid(with_verify({"preset": name, "secret": "a"})) != is_needed
    assert EDITOR.is_valid(with_verify({"preset": name, "secret": "a", "verify_token": "b"})) == is_needed


@pytest.mark.parametrize(
    "verify",
    [
        "anybody",
        "{preset: github}",
        "{preset: githb, secret: a}",
        "{preset: github, header: x-a, secret: a}",
        "{preset: hmac, secret: a}",
        "{preset: hmac, header: x-a, algorithm: md5, secret: a}",
        "{preset: token, header: x-a, prefix: a, secret: a}",
        "{preset: github, scheme: {sig: {header: x-a}}, secret: a}",
        "{scheme: {sig: {header: x-a}, signed: [form:id]}, secret: a}",
        "{scheme: {sig: {header: x-a}, ts: {ref: sig:t, tolerance: 300}}, secret: a}",
        "{scheme: {kind: token, sig: {header: x-a}}, secret: a}",
    ],
)
def test_a_mistake_in_verify_is_rejected(verify: str) -> None:
    assert not EDITOR.is_valid(with_verify(read(verify)))


# -- installed actions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waits", "is_enough"),
    [
        ("{b: {use: wait.webhook}, c: {use: wait.event, with: {type: d}}}", False),
        ("{b: {use: wait.webhook}, c: {use: wait.delay, with: {for: 1d}}}", True),
        ("{b: {use: wait.until, with: {time: '{{ run.id }}'}}}", True),
    ],
)
def test_several_waits_need_a_timeout_unless_one_is_a_delay(waits: str, is_enough: bool) -> None:
    text = f"steps: [{{id: a, use: wait.any, with: {{waits: {waits}}}END}}]"
    ended = ", timeout: 1d, on_timeout: fail"

    assert EDITOR.is_valid(read(text.replace("END", ""))) is is_enough
    assert list_errors(EDITOR, read(text.replace("END", ended))) == []


def list_offered_actions(schema: dict[str, Any]) -> dict[str, str]:
    return {each["const"]: each["description"] for each in schema["anyOf"] if "const" in each}


def test_every_action_is_offered_with_its_summary_and_its_inputs() -> None:
    names = list_offered_actions(INSTALLED["definitions"]["Step.action"]["properties"]["use"])

    assert names.keys() == {*load_connectors().actions, *CORE_INPUTS}
    assert all(names.values())
    assert names.keys() <= INSTALLED["definitions"].keys()
    assert names["http.post"] == "Send something with a POST request."


@pytest.mark.parametrize("use", sorted(load_connectors().actions))
def test_an_unknown_input_of_an_action_is_rejected(use: str) -> None:
    action = load_connectors().actions[use]
    given = dict.fromkeys(action.input.model_json_schema().get("properties", {}), "{{ inputs.a }}")

    assert EDITOR.is_valid({"steps": [{"id": "a", "use": use, "with": given}]})
    assert not EDITOR.is_valid({"steps": [{"id": "a", "use": use, "with": {**given, "no_such_input": "a"}}]})


def test_every_preset_is_offered_with_its_description() -> None:
    found = [
        list_offered_actions(each["properties"]["preset"])
        for name, each in INSTALLED["definitions"].items()
        if name.startswith("webhook.") and "preset" in each["properties"]
    ]
    names = {name: meaning for each in found for name, meaning in each.items()}

    assert names.keys() == {*load_presets(), *GENERIC}
    assert all(names.values())


# -- expressions in place of values -------------------------------------------------------------------------------


class Address(Inputs):
    street: str
    number: int


class Parcel(Inputs):
    weight: int = Field(ge=1)
    code: str = Field(pattern="^[A-Z]+$")
    to: Address
    also: list[Address] | None = None
    marks: dict[str, bool] | None = None
    inner: "Parcel | None" = None


PARCELS = jsonschema_rs.Draft7Validator(
    make_pipeline_schema(Catalogue({"parcel.send": Action("send", do_nothing, Parcel)}, {}))
)
WHOLE: dict[str, Any] = {"weight": 5, "code": "AB", "to": {"street": "a", "number": 1}}
HELD = "{{ inputs.x }}"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"weight": HELD},
        {"code": f"A{HELD}"},
        {"to": HELD},
        {"to": {"street": HELD, "number": HELD}},
        {"also": HELD},
        {"also": None},
        {"also": [HELD, {"street": "a", "number": HELD}]},
        {"marks": {"a": HELD, "b": True}},
        {"inner": {**WHOLE, "weight": HELD}},
    ],
)
def test_an_expression_may_replace_any_value_under_with(given: dict[str, Any]) -> None:
    assert list_errors(PARCELS, {"steps": [{"id": "a", "use": "parcel.send", "with": {**WHOLE, **given}}]}) == []


@pytest.mark.parametrize(
    "given",
    [
        {"weight": "heavy"},
        {"weight": 0},
        {"code": "ab"},
        {"to": "here"},
        {"to": {"street": "a", "nmber": HELD}},
        {"wieght": HELD},
        {"also": ["there"]},
        {"marks": {"a": "perhaps"}},
        {"inner": {**WHOLE, "to": {"street": 5, "number": 1}}},
    ],
)
def test_a_value_that_is_neither_valid_nor_an_expression_is_rejected(given: dict[str, Any]) -> None:
    assert not PARCELS.is_valid({"steps": [{"id": "a", "use": "parcel.send", "with": {**WHOLE, **given}}]})


def test_an_expression_cannot_replace_all_inputs_at_once() -> None:
    assert not PARCELS.is_valid({"steps": [{"id": "a", "use": "parcel.send", "with": HELD}]})
    assert PARCELS.is_valid({"steps": [{"id": "a", "use": "flow.stop", "with": None}]})
