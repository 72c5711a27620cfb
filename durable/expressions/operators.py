"""The operators of the language on JSON values: look-up, arithmetic, concatenation, comparison.

A look-up returns the value of a key or the item at an index, never a Python attribute.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import TypeAlias

from durable.expressions.bounds import (
    ABSENT,
    Evaluation,
    EvaluationError,
    MissingName,
    cost_of,
    ensure_bounded,
    ensure_count,
    ensure_length,
    join_texts,
    to_json,
)
from durable.expressions.headers import HeaderName, find_spelling
from durable.values import JSON
from durable.wording import name_kind

Key: TypeAlias = str | int
Operator: TypeAlias = Callable[[Evaluation, object, object], object]

_CLOSEST_LIMIT = 200
_KEY_LIMIT = 60
_NOUNS = {"steps": "step", "inputs": "input", "secrets": "secret"}


# -- look-up ----------------------------------------------------------------------------------------------------


def look_up(value: object, key: object) -> object:
    """Return the item of a mapping or a list; `ABSENT` if there is none."""
    if type(value) is dict and type(key) is str:
        return value.get(key, ABSENT)
    if type(value) is list:
        return value[key] if type(key) is int and -len(value) <= key < len(value) else ABSENT
    if type(key) is HeaderName and isinstance(value, Mapping):
        key = find_spelling(value, key)
    if type(key) is str and isinstance(value, Mapping):
        try:
            return value[key]
        except KeyError:
            return ABSENT
    return ABSENT


def look_along(value: object, keys: Sequence[object]) -> object:
    """Return the item at the end of a path; `ABSENT` if a part of it is missing."""
    for key in keys:
        value = value.get(key, ABSENT) if type(value) is dict and type(key) is str else look_up(value, key)
        if value is ABSENT:
            return ABSENT
    return value


def explain_missing(root: object, keys: Sequence[object], label: str) -> MissingName:
    """Explain which part of a path is missing. `label` names the root; it is empty if the root is the scope."""
    value = root
    for each in keys:
        holder, value = value, look_up(value, each)
        key = str(each) if type(each) is HeaderName else each
        if value is ABSENT:
            return MissingName(_explain_absence(holder, key, label), extend_label(label, key))
        label = extend_label(label, key)
    return MissingName("a value is missing", label)


def extend_label(label: str, key: object) -> str:
    """Return the label of the value of a key."""
    if type(key) is str and key.isidentifier():
        return f"{label}.{key}" if label else key
    return f"{label}[{_quote_key(key)}]"


def _explain_absence(holder: object, key: object, label: str) -> str:
    if isinstance(holder, Mapping) and type(key) is str:
        named = _NOUNS.get(label)
        what = f"there is no {named} '{key}'" if named else f"there is no '{key}'{f' in {label}' if label else ''}"
        return f"{what}{suggest_name(holder, key)}"
    if isinstance(holder, Mapping):
        return f"the keys of a mapping are text, not {_quote_key(key)}"
    if isinstance(holder, list) and type(key) is int:
        return f"{label} has only {len(holder)} item{'' if len(holder) == 1 else 's'}"
    if isinstance(holder, list):
        return f"{label} is a list; its items have numbers, not names"
    return f"{label} is {name_kind(holder)} and has no items"


def suggest_name(mapping: Iterable[object], name: str) -> str:
    """Suggest the most similar existing name, as the end of a message."""
    known = [key for key in islice(mapping, _CLOSEST_LIMIT) if type(key) is str and len(key) <= _KEY_LIMIT]
    close = get_close_matches(name[:_KEY_LIMIT], known, n=3)
    if close:
        return f"; did you mean {' or '.join(repr(key) for key in close)}"
    return f"; known: {', '.join(known)}" if 0 < len(known) <= 8 else ""


def _quote_key(key: object) -> str:
    shown = repr(key) if type(key) in {str, int} else name_kind(key)
    return shown if len(shown) <= _KEY_LIMIT else f"{shown[: _KEY_LIMIT - 1]}…"


def slice_value(evaluation: Evaluation, value: object, start: object, stop: object, step: object) -> object:
    """`value[start:stop:step]` of a text or a list."""
    bounds = slice(_require_slice_end(start), _require_slice_end(stop), _require_slice_end(step))
    if type(value) is str:
        ensure_length(len(range(*bounds.indices(len(value)))))
        return value[bounds]
    if type(value) is list:
        ensure_count(len(range(*bounds.indices(len(value)))))
        return value[bounds]
    raise EvaluationError(f"{name_kind(value)} has no slices")


def _require_slice_end(value: object) -> int | None:
    if value is not None and type(value) is not int:
        raise EvaluationError(f"the ends of a slice are whole numbers, not {name_kind(value)}")
    return value


# -- arithmetic -------------------------------------------------------------------------------------------------


def is_number(value: object) -> bool:
    return type(value) is int or type(value) is float


def add(_: Evaluation, left: object, right: object) -> object:
    if type(left) is str and type(right) is str:
        ensure_length(len(left) + len(right))
        return left + right
    if type(left) is list and type(right) is list:
        ensure_count(len(left) + len(right))
        return left + right
    if is_number(left) and is_number(right):
        return ensure_bounded(left + right)  # type: ignore[operator]
    hint = "; '~' joins anything as text" if str in (type(left), type(right)) else ""
    raise EvaluationError(f"{name_kind(left)} and {name_kind(right)} cannot be added{hint}")


def _make_arithmetic(sign: str, operation: Callable[..., object]) -> Operator:
    def operator(_: Evaluation, left: object, right: object) -> object:
        if not (is_number(left) and is_number(right)):
            raise EvaluationError(f"'{sign}' is for numbers, not for {name_kind(left)} and {name_kind(right)}")
        return ensure_bounded(operation(left, right))

    return operator


def _raise_to_power(base: int | float, exponent: int | float) -> object:
    if type(base) is int and type(exponent) is int and (abs(base).bit_length() - 1) * exponent > 100:
        raise EvaluationError("the result is too large a number")
    return base**exponent


def negate(_: Evaluation, value: object) -> object:
    return -_require_signed("-", value)


def positive(_: Evaluation, value: object) -> object:
    return _require_signed("+", value)


def _require_signed(sign: str, value: object) -> int | float:
    if not is_number(value):
        raise EvaluationError(f"'{sign}' is for numbers, not for {name_kind(value)}")
    return value  # type: ignore[return-value]


def concatenate(evaluation: Evaluation, *values: object) -> object:
    """`~`: concatenate the values as text."""
    return join_texts(evaluation, values)


# -- comparing --------------------------------------------------------------------------------------------------


def equal(evaluation: Evaluation, left: object, right: object) -> bool:
    evaluation.charge(_cost_of_comparing(evaluation, left))
    return left == right


def unequal(evaluation: Evaluation, left: object, right: object) -> bool:
    return not equal(evaluation, left, right)


def contains(evaluation: Evaluation, container: object, item: object) -> bool:
    match container:
        case str():
            if type(item) is not str:
                raise EvaluationError(f"a text contains texts, not {name_kind(item)}")
            evaluation.charge(cost_of(container) + cost_of(item))
            return item in container
        case list():
            evaluation.charge(len(container) * _cost_of_comparing(evaluation, item))
            return item in container
        case Mapping():
            return type(item) is str and item in container
        case _:
            raise EvaluationError(f"nothing is in {name_kind(container)}; 'in' is for lists, texts and mappings")


def _cost_of_comparing(evaluation: Evaluation, value: object) -> int:
    """Return the maximum work of comparing something with the value."""
    if type(value) is list or isinstance(value, dict):
        before = evaluation.work_left
        to_json(evaluation, value)
        return int(before - evaluation.work_left)
    return cost_of(value)


def _make_ordering(sign: str, operation: Callable[..., bool]) -> Operator:
    def operator(evaluation: Evaluation, left: object, right: object) -> bool:
        if not (is_number(left) and is_number(right)) and not (type(left) is str and type(right) is str):
            raise EvaluationError(f"{name_kind(left)} and {name_kind(right)} have no order ('{sign}')")
        evaluation.charge(cost_of(left))
        return operation(left, right)

    return operator


less = _make_ordering("<", lambda left, right: left < right)
less_or_equal = _make_ordering("<=", lambda left, right: left <= right)
greater = _make_ordering(">", lambda left, right: left > right)
greater_or_equal = _make_ordering(">=", lambda left, right: left >= right)

ARITHMETIC: Mapping[str, Operator] = {
    "+": add,
    "-": _make_arithmetic("-", lambda left, right: left - right),
    "*": _make_arithmetic("*", lambda left, right: left * right),
    "/": _make_arithmetic("/", lambda left, right: left / right),
    "//": _make_arithmetic("//", lambda left, right: left // right),
    "%": _make_arithmetic("%", lambda left, right: left % right),
    "**": _make_arithmetic("**", _raise_to_power),
}
COMPARISONS: Mapping[str, Operator] = {
    "eq": equal,
    "ne": unequal,
    "lt": less,
    "lteq": less_or_equal,
    "gt": greater,
    "gteq": greater_or_equal,
    "in": lambda evaluation, item, container: contains(evaluation, container, item),
    "notin": lambda evaluation, item, container: not contains(evaluation, container, item),
}


def chain_comparisons(operators: Sequence[Operator]) -> Callable[..., object]:
    """`a < b <= c`: compare each pair of neighbours, until a comparison is false."""

    def operation(evaluation: Evaluation, *values: JSON) -> object:
        pairs = zip(operators, values, values[1:], strict=False)
        return all(operator(evaluation, left, right) for operator, left, right in pairs)

    return operation
