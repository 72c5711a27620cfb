"""Checks the arguments of filters and tests: each `require_` function returns its value or raises an error."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from durable.expressions import hints
from durable.expressions.bounds import (
    ABSENT,
    Evaluation,
    EvaluationError,
    cost_of,
    ensure_count,
    ensure_length,
)
from durable.expressions.headers import mark_header_names
from durable.expressions.operators import explain_missing, is_number, look_along, suggest_name
from durable.wording import name_kind

Function: TypeAlias = Callable[..., object]
"""A filter or a test. It takes the evaluation, its operand, and the arguments in parentheses."""


def require_text(evaluation: Evaluation, value: object) -> str:
    if type(value) is not str:
        raise EvaluationError(f"expected a text, got {name_kind(value)}; '|string' converts any value to a text")
    ensure_length(len(value))
    evaluation.charge(cost_of(value))
    return value


def require_list(evaluation: Evaluation, value: object) -> list[object]:
    if type(value) is not list:
        raise EvaluationError(f"expected a list, got {name_kind(value)}")
    ensure_count(len(value))
    evaluation.charge(cost_of(value))
    return value


def require_mapping(evaluation: Evaluation, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise EvaluationError(f"expected a mapping, got {name_kind(value)}")
    ensure_count(len(value))
    evaluation.charge(1 + len(value))
    return value


def require_number(value: object) -> int | float:
    if not is_number(value):
        raise EvaluationError(f"expected a number, got {name_kind(value)}")
    return value  # type: ignore[return-value]


def require_integer(value: object) -> int:
    if type(value) is not int:
        raise EvaluationError(f"expected a whole number, got {name_kind(value)}")
    return value


def parse_path(attribute: object) -> list[object]:
    """Split a path such as `a.b.0`, the value of `attribute=`, into keys."""
    if type(attribute) is int:
        return [attribute]
    if type(attribute) is not str or len(attribute) > 1_000:
        raise EvaluationError(f"an attribute is a name or a path of names, not {name_kind(attribute)}")
    return [*mark_header_names([_parse_key(part) for part in attribute.split(".")])]


def _parse_key(part: str) -> str | int:
    return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else part


def find_values(evaluation: Evaluation, items: Sequence[object], attribute: object) -> list[object]:
    """Return the value of the attribute of each item; `ABSENT` for items without it."""
    keys = parse_path(attribute)
    evaluation.charge(len(items) * len(keys))
    return [look_along(item, keys) for item in items]


def require_values(evaluation: Evaluation, items: Sequence[object], attribute: object) -> list[object]:
    """Return the value of the attribute of each item; raises if an item does not have it."""
    found = find_values(evaluation, items, attribute)
    if ABSENT in found:
        index = found.index(ABSENT)
        raise explain_missing(items[index], parse_path(attribute), f"item {index} of the list")
    return found


def find_sort_keys(evaluation: Evaluation, items: list[object], attribute: object) -> list[object]:
    """Return the values to sort items by: all numbers, or all texts."""
    keys = items if attribute is None else require_values(evaluation, items, attribute)
    if not (all(map(is_number, keys)) or all(type(key) is str for key in keys)):
        kinds = sorted({name_kind(key) for key in keys})
        raise EvaluationError(f"only numbers, or only texts, can be put in order, not {' and '.join(kinds)}")
    evaluation.charge(sum(map(cost_of, keys)))
    return keys


def find_function(table: Mapping[str, Function], what: str, name: object) -> Function:
    """Return the filter or test of that name; raises `EvaluationError`, which suggests similar names."""
    if type(name) is str and name in table:
        return table[name]
    if type(name) is not str:
        raise EvaluationError(f"expected the name of a {what}, got {name_kind(name)}")
    raise EvaluationError(f"there is no {what} '{name[:40]}'{_suggest(table, what, name)}")


def _suggest(table: Mapping[str, Function], what: str, name: str) -> str:
    if what == "filter" and name in hints.FILTERS:
        return f"; write '|{hints.FILTERS[name]}'"
    if what == "test" and name in hints.TESTS:
        return f"; {hints.TESTS[name]}"
    if what == "filter" and name in hints.FILTER_HINTS:
        return f"; {hints.FILTER_HINTS[name]}"
    known = sorted(each for each in table if each.isidentifier())
    return suggest_name(table, name) or f"; known: {', '.join(known)}"
