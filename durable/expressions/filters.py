"""The filters of the language, as a table at the end of the file.

Filters with the names of Jinja's filters behave like them, but are stricter: they compare texts exactly, `int` and
`float` reject values that are not numbers, `default` requires its value, and `urlencode` also encodes `/`. Each filter
charges the evaluation for the data that it processes, and rejects a result that is too large, before creating it if
possible.
"""

import math
import re
from collections.abc import Callable, Mapping

import msgspec

from durable.expressions import text_filters
from durable.expressions.arguments import (
    Function,
    find_function,
    find_sort_keys,
    find_values,
    require_integer,
    require_list,
    require_mapping,
    require_number,
    require_text,
    require_values,
)
from durable.expressions.bounds import (
    ABSENT,
    Evaluation,
    EvaluationError,
    MissingName,
    cost_of,
    ensure_bounded,
    ensure_count,
    to_json,
    to_json_text,
    to_text,
)
from durable.expressions.checks import TESTS
from durable.expressions.operators import is_number
from durable.wording import name_kind

_CALL_COST = 8  # of a filter or test on one item, in addition to its own charges
_IDENTITY_COST = 8  # of comparing an item with others, in addition to its length
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,31})\s*")
_DECIMAL = re.compile(r"\s*[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?\s*")


# -- numbers ----------------------------------------------------------------------------------------------------


def _to_int(_: Evaluation, value: object, default: object = ABSENT) -> object:
    if is_number(value):
        return ensure_bounded(int(require_number(value)))
    match = _WHOLE.fullmatch(value) if type(value) is str and len(value) < 1_000 else None
    if match:
        return ensure_bounded(int(match[1]))
    return _use_default(value, "a whole number", default)


def _to_float(_: Evaluation, value: object, default: object = ABSENT) -> object:
    if is_number(value):
        return ensure_bounded(float(require_number(value)))
    if type(value) is str and len(value) < 1_000 and _DECIMAL.fullmatch(value):
        return ensure_bounded(float(value))
    return _use_default(value, "a number", default)


def _use_default(value: object, wanted: str, default: object) -> object:
    if default is not ABSENT:
        return default
    shown = f"{value[:40]!r}" if type(value) is str else name_kind(value)
    raise EvaluationError(f"{shown} is not {wanted}; a default can be given in parentheses")


def _take_absolute(_: Evaluation, value: object) -> object:
    return abs(require_number(value))


def _round_number(_: Evaluation, value: object, precision: object = 0, method: object = "common") -> object:
    number, digits = require_number(value), require_integer(precision)
    if not -30 <= digits <= 30:
        raise EvaluationError("a precision is between -30 and 30")
    if method == "common":
        return ensure_bounded(round(number, digits))
    if method not in ("ceil", "floor"):
        raise EvaluationError("the method is 'common', 'ceil' or 'floor'")
    change = math.ceil if method == "ceil" else math.floor
    return ensure_bounded(change(number * 10.0**digits) / 10.0**digits)


def _add_up(evaluation: Evaluation, value: object, attribute: object = None, start: object = 0) -> object:
    items = require_list(evaluation, value)
    total = require_number(start)
    for number in items if attribute is None else require_values(evaluation, items, attribute):
        total = ensure_bounded(total + require_number(number))
    return total


# -- lists and mappings -----------------------------------------------------------------------------------------


def _count(_: Evaluation, value: object) -> int:
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise EvaluationError(f"{name_kind(value)} has no length")


def _make_end(index: int) -> Function:
    def end_filter(_: Evaluation, value: object) -> object:
        if type(value) is not str and type(value) is not list:
            raise EvaluationError(f"this filter is for lists and texts, not for {name_kind(value)}")
        return value[index] if value else ABSENT

    return end_filter


def _make_extreme(choose: Callable[..., object]) -> Function:
    def extreme_filter(evaluation: Evaluation, value: object, attribute: object = None) -> object:
        items = require_list(evaluation, value)
        keys = find_sort_keys(evaluation, items, attribute)
        return items[choose(range(len(keys)), key=keys.__getitem__)] if keys else ABSENT  # type: ignore[call-overload]

    return extreme_filter


def _sort(evaluation: Evaluation, value: object, reverse: object = False, attribute: object = None) -> list[object]:
    items = require_list(evaluation, value)
    keys = find_sort_keys(evaluation, items, attribute)
    evaluation.charge(sum(map(cost_of, keys)) * len(keys).bit_length() // 16)
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=bool(reverse))  # type: ignore[arg-type]
    return [items[index] for index in order]


def _drop_repeated(evaluation: Evaluation, value: object, attribute: object = None) -> list[object]:
    items = require_list(evaluation, value)
    found: dict[object, object] = {}
    for item, key in zip(
        items, items if attribute is None else require_values(evaluation, items, attribute), strict=True
    ):
        evaluation.charge(_IDENTITY_COST + cost_of(key))
        found.setdefault(_make_hashable(evaluation, key), item)
    return list(found.values())


def _make_hashable(evaluation: Evaluation, value: object) -> object:
    """Return a hashable value that is equal for equal JSON. Numbers are compared by their digits: Python's hash of a
    number is predictable, and a dictionary of 26,000 multiples of 2**61 - 1 (which all hash to 0) takes 15 s to
    build."""
    match value:
        case str():
            return value
        case float() if value.is_integer():
            return b"%x" % int(value)
        case bool() | float() | None:
            return repr(value).encode()
        case int():
            return b"%x" % value
    return msgspec.json.encode(to_json(evaluation, value), order="deterministic")


def _reverse(evaluation: Evaluation, value: object) -> object:
    return require_text(evaluation, value)[::-1] if type(value) is str else require_list(evaluation, value)[::-1]


def _to_list(evaluation: Evaluation, value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(require_mapping(evaluation, value))
    if type(value) is str:
        ensure_count(len(value))
        evaluation.charge(len(value))
        return list(value)
    return require_list(evaluation, value)


def _list_pairs(evaluation: Evaluation, value: object) -> list[list[object]]:
    mapping = require_mapping(evaluation, value)
    evaluation.charge(4 * len(mapping))
    return [[key, item] for key, item in mapping.items()]


def _sort_pairs(evaluation: Evaluation, value: object, by: object = "key", reverse: object = False) -> list[object]:
    if by not in ("key", "value"):
        raise EvaluationError("a mapping is sorted by 'key' or by 'value'")
    return _sort(evaluation, _list_pairs(evaluation, value), reverse, ["key", "value"].index(by))


def _list_keys(evaluation: Evaluation, value: object) -> list[object]:
    return list(require_mapping(evaluation, value))


def _list_values(evaluation: Evaluation, value: object) -> list[object]:
    return list(require_mapping(evaluation, value).values())


def _default_if_empty(_: Evaluation, value: object, default: object, boolean: object = False) -> object:
    """Apply `default` to a value that exists; the compiler handles a missing name."""
    return default if boolean and not value else value


# -- filters and tests on every item ----------------------------------------------------------------------------


def _map_items(
    evaluation: Evaluation,
    value: object,
    filter: object = None,
    *arguments: object,
    attribute: object = None,
    default: object = ABSENT,
) -> list[object]:
    items = require_list(evaluation, value)
    if attribute is not None and filter is None:
        if default is ABSENT:
            return require_values(evaluation, items, attribute)
        return [default if found is ABSENT else found for found in find_values(evaluation, items, attribute)]
    if attribute is not None or default is not ABSENT:
        raise EvaluationError("map is given a filter's name, or attribute= and perhaps default=")
    function = find_function(FILTERS, "filter", filter)
    made = [_apply_to_item(evaluation, function, item, arguments) for item in items]
    if ABSENT in made:
        raise MissingName(f"item {made.index(ABSENT)} is empty and has no {filter}")
    return made


def _make_select(wanted: bool) -> Function:
    def select(evaluation: Evaluation, value: object, test: object = None, *arguments: object) -> list[object]:
        holds = _make_condition(evaluation, test, arguments)
        return [item for item in require_list(evaluation, value) if holds(item) is wanted]

    return select


def _make_select_by(wanted: bool) -> Function:
    def select(
        evaluation: Evaluation, value: object, attribute: object, test: object = None, *arguments: object
    ) -> list[object]:
        items = require_list(evaluation, value)
        found = (find_values if test in ("defined", "undefined") else require_values)(evaluation, items, attribute)
        holds = _make_condition(evaluation, test, arguments)
        return [item for item, key in zip(items, found, strict=True) if holds(key) is wanted]

    return select


def _make_condition(evaluation: Evaluation, test: object, arguments: tuple[object, ...]) -> Callable[[object], bool]:
    match test:
        case None:
            return bool
        case "defined":
            return lambda value: value is not ABSENT
        case "undefined":
            return lambda value: value is ABSENT
        case _:
            function = find_function(TESTS, "test", test)
            return lambda value: bool(_apply_to_item(evaluation, function, value, arguments))


def _apply_to_item(evaluation: Evaluation, function: Function, item: object, arguments: tuple[object, ...]) -> object:
    made = function(evaluation, item, *arguments)
    evaluation.charge(_CALL_COST + cost_of(made))
    return made


# -- the allow-list ---------------------------------------------------------------------------------------------

FILTERS: Mapping[str, Function] = {
    "abs": _take_absolute,
    "b64decode": text_filters.from_base64,
    "b64encode": text_filters.to_base64,
    "capitalize": text_filters.make_text_filter(str.capitalize),
    "count": _count,
    "d": _default_if_empty,
    "default": _default_if_empty,
    "dictsort": _sort_pairs,
    "first": _make_end(0),
    "float": _to_float,
    "fromjson": text_filters.from_json,
    "int": _to_int,
    "items": _list_pairs,
    "join": text_filters.join,
    "keys": _list_keys,
    "last": _make_end(-1),
    "length": _count,
    "list": _to_list,
    "lower": text_filters.make_text_filter(str.lower),
    "map": _map_items,
    "max": _make_extreme(max),
    "min": _make_extreme(min),
    "raw_path": text_filters.encode_path,
    "reject": _make_select(False),
    "rejectattr": _make_select_by(False),
    "replace": text_filters.replace,
    "reverse": _reverse,
    "round": _round_number,
    "select": _make_select(True),
    "selectattr": _make_select_by(True),
    "sha256": text_filters.sha256,
    "sort": _sort,
    "split": text_filters.split,
    "string": to_text,
    "sum": _add_up,
    "title": text_filters.make_text_filter(str.title),
    "tojson": to_json_text,
    "trim": text_filters.trim,
    "truncate": text_filters.truncate,
    "unique": _drop_repeated,
    "upper": text_filters.make_text_filter(str.upper),
    "urlencode": text_filters.url_encode,
    "values": _list_values,
}

URL_FILTERS = frozenset({"raw_path", "urlencode"})
"""Filters whose results are inserted into URLs without further encoding."""
