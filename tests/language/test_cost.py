"""Untrusted input cannot make an expression or a schema expensive."""

import random
import time
from collections.abc import Callable

import pytest

from durable.expressions.expression import Expression
from durable.schema import LARGE, CompiledSchema
from durable.values import JSON

MODULUS = 2**61 - 1
"""Python's hash of a whole number is its remainder by this one."""

HOSTILE: dict[str, list[JSON]] = {
    "whole": [MODULUS * n for n in range(1, 20_001)],
    "negative": [-MODULUS * n for n in range(1, 20_001)],
    "float": [float(MODULUS + 1) * n for n in range(1, 20_001)],
    "small": [2.0**-61 * n for n in range(1, 20_001)],
}


def _seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("text", ["x | unique | length", "x | map(attribute='n') | list | length", "x[0] in x"])
def test_numbers_with_colliding_hashes_cost_no_more_than_others(kind: str, text: str) -> None:
    hostile = HOSTILE[kind]
    if "attribute" in text:
        hostile, text = [{"n": each} for each in hostile], "x | unique(attribute='n') | length"
    chance = random.Random(1)
    usual: list[JSON] = [chance.randrange(2**80) for _ in hostile]
    usual = [{"n": each} for each in usual] if "attribute" in text else usual
    expression = Expression.parse(text)
    least = min(_seconds(lambda: expression.evaluate({"x": usual})) for _ in range(3))
    assert _seconds(lambda: expression.evaluate({"x": hostile})) < 20 * least + 0.05


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 1.0, 2, true, 'a', '1', null, false, 0] | unique", [1, 2, True, "a", "1", None, False, 0]),
        ("[0.5, 0.5, 0.25, 5e-1, -0.0, 0] | unique", [0.5, 0.25, -0.0]),
        ("[1e30, 10 ** 30, 10 ** 30 - 1] | unique | length", 3),
        ("[[1], [1], {'a': 1, 'b': 2}, {'b': 2, 'a': 1}] | unique", [[1], {"a": 1, "b": 2}]),
        ("['true', true, 'null', null, 'a', 'A'] | unique", ["true", True, "null", None, "a", "A"]),
        ("[10 ** 18, 10 ** 18 + 1, 10 ** 18] | unique", [10**18, 10**18 + 1]),
    ],
)
def test_unique_merges_equal_values_and_keeps_true_distinct_from_one(text: str, value: JSON) -> None:
    assert Expression.parse(text).evaluate({}) == value


def test_a_schema_reports_one_violation_of_a_large_value_and_all_of_a_small_one() -> None:
    schema = CompiledSchema({"type": "array", "items": {"type": "integer"}})
    assert [place for place, _ in schema.find_problems(["a", 1, "b"])] == [(0,), (2,)]
    assert [place for place, _ in schema.find_problems([1] * LARGE + ["a", "b"])] == [(LARGE,)]
    fits: list[JSON] = [1] * (2 * LARGE)
    assert list(schema.find_problems(fits)) == []


def test_a_hundred_thousand_violations_cost_little() -> None:
    schema = CompiledSchema({"type": "array", "items": {"enum": [str(n) for n in range(1_000)]}})
    fits: list[JSON] = ["0"] * 100_000
    wrong: list[JSON] = ["x"] * 100_000
    usual = _seconds(lambda: list(schema.find_problems(fits)))
    assert _seconds(lambda: list(schema.find_problems(wrong))) < 20 * usual + 0.05
