"""Which values a journal accepts as JSON, and the errors for others."""

import enum
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.values import JSON, NESTING_LIMIT, NotJSON, Value, decode, encode

_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON = st.recursive(_SCALARS | _TEXT, lambda items: st.lists(items) | st.dictionaries(_TEXT, items), max_leaves=20)


class Colour(enum.StrEnum):
    RED = "red"


@given(_JSON)
def test_json_survives_a_round_trip(value: JSON) -> None:
    assert decode(encode(value)) == value == Value.of(value).load()
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "nan at the top is not JSON"),
        ({"a": [1, {"b": math.inf}]}, "inf at /a/1/b is not JSON"),
        (["fine", "\ud800"], "a lone surrogate at /1 is not JSON"),
        ({"a": {1: 2}}, "the key 1 at /a is not JSON"),
        ({"\udfff": 1}, "at the top is not JSON"),
        ({"a": {1, 2}}, "a set at /a is not JSON"),
        ([b"bytes"], "a bytes at /0 is not JSON"),
        ([object()], "a object at /0 is not JSON"),
    ],
)
def test_a_value_that_is_not_json_is_rejected_with_its_position(value: JSON, message: str) -> None:
    with pytest.raises(NotJSON, match=message):
        Value.of(value)


def test_subclasses_of_json_types_are_json() -> None:
    assert encode([Colour.RED, True]) == b'["red",true]'


@pytest.mark.parametrize("around", [1, 3])
def test_nesting_is_bounded(around: int) -> None:
    value: JSON = None
    for _ in range(NESTING_LIMIT - 1):
        value = [value]
    assert decode(encode([value] * around)) == [value] * around
    with pytest.raises(NotJSON, match="too deep a nesting"):
        encode([{"deeper": value}] * around)
