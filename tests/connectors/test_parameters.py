"""Parameters of queries and forms, read back from what is sent."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from connectors.declared.parameters import make_params
from connectors.wire.url import encode_params
from durable.values import JSON

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=1, max_size=5)
SCALARS = st.text(st.characters(codec="utf-8"), max_size=5) | st.integers(-9, 10**20) | st.booleans() | st.just(1.5)
TREES: st.SearchStrategy[JSON] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=8,
)


def parse_deep(query: str) -> dict[str, Any]:
    """Read `a[b][0]=1` as mappings of mappings."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        *path, last = name.replace("]", "").split("[")
        at = found
        for key in path:
            at = at.setdefault(key, {})
        at[last] = value
    return found


def to_mappings(value: JSON) -> Any:
    """Return a tree as `parse_deep` reads it: lists by index, scalars as text."""
    match value:
        case dict():
            return {key: to_mappings(item) for key, item in value.items()}
        case list():
            return {str(index): to_mappings(item) for index, item in enumerate(value)}
        case str():
            return value
        case _:
            return msgspec.json.encode(value).decode()


@given(st.dictionaries(NAMES, TREES, max_size=3))
def test_deep_parameters_are_read_as_they_were_given(params: dict[str, JSON]) -> None:
    assert parse_deep(encode_params(make_params(params, {}, "deep"))) == to_mappings(params)


@given(st.dictionaries(NAMES, st.lists(SCALARS, min_size=1, max_size=4), max_size=3))
def test_repeated_parameters_are_read_as_they_were_given(params: dict[str, list[JSON]]) -> None:
    found = parse_qsl(encode_params(make_params(params, {}, "repeat")), keep_blank_values=True)
    assert found == [(name, to_mappings(item)) for name, items in params.items() for item in items]
