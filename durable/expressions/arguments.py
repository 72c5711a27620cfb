"""What filters and tests are given: each function here takes a value for what it must be, or refuses it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from durable.expressions import foreign
from durable.expressions.bounds import ABSENT, Evaluation, Refused, cost, ensure_count, ensure_length, kind_of
from durable.expressions.headers import mark_header_names
from durable.expressions.operators import is_number, look_along, missing, suggestion

Function: TypeAlias = Callable[..., object]
"""A filter or a test: the evaluation, the value that it stands behind, and what its parentheses hold."""


def text_of(evaluation: Evaluation, value: object) -> str:
    if type(value) is not str:
        raise Refused(f"this is for texts, not for {kind_of(value)}; '|string' makes a text of anything")
    ensure_length(len(value))
    evaluation.charge(cost(value))
    return value


def items_of(evaluation: Evaluation, value: object) -> list[object]:
    if type(value) is not list:
        raise Refused(f"this is for lists, not for {kind_of(value)}")
    ensure_count(len(value))
    evaluation.charge(cost(value))
    return value


def mapping_of(evaluation: Evaluation, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Refused(f"this is for mappings, not for {kind_of(value)}")
    ensure_count(len(value))
    evaluation.charge(1 + len(value))
    return value


def number_of(value: object) -> int | float:
    if not is_number(value):
        raise Refused(f"a number is needed here, not {kind_of(value)}")
    return value  # type: ignore[return-value]


def whole_of(value: object) -> int:
    if type(value) is not int:
        raise Refused(f"a whole number is needed here, not {kind_of(value)}")
    return value


def path_of(attribute: object) -> list[object]:
    """`a.b.0` as keys: what stands after `attribute=`."""
    if type(attribute) is int:
        return [attribute]
    if type(attribute) is not str or len(attribute) > 1_000:
        raise Refused(f"an attribute is a name or a path of names, not {kind_of(attribute)}")
    return [*mark_header_names([_key_of(part) for part in attribute.split(".")])]


def _key_of(part: str) -> str | int:
    return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else part


def find(evaluation: Evaluation, items: Sequence[object], attribute: object) -> list[object]:
    """What each item has under the attribute; `ABSENT` for those that have nothing there."""
    keys = path_of(attribute)
    evaluation.charge(len(items) * len(keys))
    return [look_along(item, keys) for item in items]


def pick(evaluation: Evaluation, items: Sequence[object], attribute: object) -> list[object]:
    """What each item has under the attribute, which all must have."""
    found = find(evaluation, items, attribute)
    if ABSENT in found:
        index = found.index(ABSENT)
        raise missing(items[index], path_of(attribute), f"item {index} of the list")
    return found


def ordering_of(evaluation: Evaluation, items: list[object], attribute: object) -> list[object]:
    """What items are ordered by: all numbers, or all texts."""
    keys = items if attribute is None else pick(evaluation, items, attribute)
    if not (all(map(is_number, keys)) or all(type(key) is str for key in keys)):
        kinds = sorted({kind_of(key) for key in keys})
        raise Refused(f"only numbers, or only texts, can be put in order, not {' and '.join(kinds)}")
    evaluation.charge(sum(map(cost, keys)))
    return keys


def named(table: Mapping[str, Function], what: str, name: object) -> Function:
    """The filter or test of that name; raises `Refused` with the nearest ones."""
    if type(name) is str and name in table:
        return table[name]
    if type(name) is not str:
        raise Refused(f"the name of a {what} is needed here, not {kind_of(name)}")
    raise Refused(f"there is no {what} '{name[:40]}'{_cure(table, what, name)}")


def _cure(table: Mapping[str, Function], what: str, name: str) -> str:
    if what == "filter" and name in foreign.FILTERS:
        return f"; write '|{foreign.FILTERS[name]}'"
    if what == "test" and name in foreign.TESTS:
        return f"; {foreign.TESTS[name]}"
    if what == "filter" and name in foreign.FILTER_HINTS:
        return f"; {foreign.FILTER_HINTS[name]}"
    known = sorted(each for each in table if each.isidentifier())
    return suggestion(table, name) or f"; known: {', '.join(known)}"
