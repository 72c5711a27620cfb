"""Damaged OpenAPI documents: whatever a document contains, loading it gives actions or says what is wrong."""

import contextlib
import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.openapi.document import DocumentRefused, ImportedDocument, read_document
from connectors.openapi.load import load_import
from connectors.openapi.yaml_reader import read_yaml
from durable.model_shape import ModelShape
from durable.schema import CompiledSchema
from tests.connectors.test_openapi import ADDED, SHOP

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1e9, "", "x", "{", "{{ 1 }}", "a.b", "\ud800", "€", [], {}, [[]], [None], {"": 1}),
    *({"$ref": "#/components/schemas/Line"}, {"$ref": "#"}, {"$ref": "#/paths"}, {"$ref": 7}, {"$ref": "x.yaml"}),
    *({"$ref": "#/components/parameters/OrderId"}, {"type": ["string", "null"]}, {"type": "object"}, {"enum": []}),
    *(["get"], "#/components/schemas/Line", "cookie", "query", "header", "path", "/..", "a/../b", "application/xml"),
]


SPLINTERS = [b"", b"\xff", b"&a ", b"*a", b"{", b": ", b"\n", b"!!x "]


@cache
def read_shop() -> Any:
    return read_yaml(SHOP.read_text().replace("SERVER", "shop.test"))


def list_places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from list_places(inner, (*at, key))


PLACES = [*list_places(read_shop())][1:]


def damage(data: Any, place: tuple[Any, ...], kind: str, odd: Any) -> None:
    """Replace, rename, remove or repeat what is at a place, if it is still there."""
    *path, last = place
    for key in path:
        if isinstance(data, dict) or (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            data = data.get(key) if isinstance(data, dict) else data[key]
    if isinstance(data, dict) and last in data:
        if kind == "rename":
            data[odd if isinstance(odd, str) else "x"] = data.pop(last)
        elif kind == "remove":
            del data[last]
        else:
            data[last] = odd
    elif isinstance(data, list) and isinstance(last, int) and last < len(data):
        data[last:last] = [data[last]] if kind == "repeat" else [odd]


def check_document(data: Any, file: str = "openapi: doc.json") -> int:
    """Load a document and make all of its actions; returns their number. `file` is what is added to it."""
    try:
        document = read_document(json.dumps(data).encode())
    except DocumentRefused:
        return 0

    def open_document(_: str) -> ImportedDocument:
        return document

    loaded = load_import(file, "shop.yaml", open_document)
    if loaded.connector is None:
        assert loaded.problems
        return 0
    connector = loaded.connector
    for name in connector.actions:
        schema = connector.actions[name].input.model_json_schema()
        CompiledSchema(schema)
        ModelShape(schema).keys(("lines", 0, "parts", 0))
    assert not set(connector.skipped) & set(connector.actions)
    return len(connector.actions)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PLACES), st.sampled_from(["replace", "rename", "remove", "repeat"]), st.sampled_from(ODD)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_document_never_raises(damages: list[tuple[tuple[Any, ...], str, Any]]) -> None:
    data = json.loads(json.dumps(read_shop()))
    for place, kind, odd in damages:
        damage(data, place, kind, odd)
    check_document(data)


@pytest.mark.slow
def test_two_thousand_damaged_documents_never_raise() -> None:
    chance, actions = random.Random(13), 0
    text = json.dumps(read_shop())
    for _ in range(2_000):
        data = json.loads(text)
        for _ in range(chance.randint(1, 6)):
            kind = chance.choice(["replace", "rename", "remove", "repeat"])
            damage(data, chance.choice(PLACES), kind, chance.choice(ODD))
        actions += check_document(data)
    assert actions > 10_000


FILE = f"""
openapi: doc.json
{ADDED.replace("SERVER", "https://shop.test")}
  remove_line:
    inputs: {{order-id: {{about: The order, options: {{use: get_orders, value: id}}}}, line: {{secret: true}}}}
    returns: {{a: {{type: string}}}}
    errors: {{when: answer.body.bad, classes: {{server: [busy, {{when: answer.status == 3}}]}}, ok: [404]}}
    retry_after: [{{header: x, unit: ms}}]
    idempotency: {{header: Key, as: uuid, max: 40}}
    redirects: same_origin
select: {{names: ["*"]}}
rename: {{get_linked: linked}}
tests:
  - {{action: get_orders, with: {{limit: 3}}, answer: {{body: [1]}}, expect: {{output: [1]}}}}
"""
ADDED_PLACES = [*list_places(read_yaml(FILE))][1:]
WORDS = ["{{ 1 +", "{{ inputs.id }}", "without_credentials", "header", "json", "max", 8, 20, *ODD]


def check_damaged_files(chance: random.Random, count: int) -> int:
    """Load damaged files that add to the document; returns the number of their actions."""
    actions, text = 0, json.dumps(read_yaml(FILE))
    for _ in range(count):
        file = json.loads(text)
        for _ in range(chance.randint(1, 3)):
            kind = chance.choice(["replace", "rename", "remove", "repeat"])
            damage(file, chance.choice(ADDED_PLACES), kind, chance.choice(WORDS))
        actions += check_document(read_shop(), json.dumps(file))
    return actions


def test_damage_in_what_a_file_adds_to_a_document_never_raises() -> None:
    assert check_document(read_shop(), FILE) == 11
    assert check_damaged_files(random.Random(3), 60) > 0


@pytest.mark.slow
def test_much_damage_in_what_a_file_adds_to_a_document_never_raises() -> None:
    assert check_damaged_files(random.Random(4), 3_000) > 1_000


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6))
def test_a_damaged_text_never_raises(seed: int) -> None:
    chance, text = random.Random(seed), bytearray(SHOP.read_bytes())
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(text))
        text[at : at + chance.randint(0, 30)] = chance.choice(SPLINTERS)
    with contextlib.suppress(DocumentRefused):
        read_document(bytes(text))
