"""Every filter that the language has; what is not in the table at the end does not exist.

They do what Jinja's do where they have Jinja's names, with less guessing: they compare texts exactly, `int` and
`float` refuse what is no number, `default` needs its value, `urlencode` encodes `/` too. Each charges for what it
goes through, and refuses what is too large, if possible before it is made.
"""

import math
import re
from collections.abc import Callable, Mapping

import msgspec

from durable.expressions import texts
from durable.expressions.arguments import (
    Function,
    find,
    items_of,
    mapping_of,
    named,
    number_of,
    ordering_of,
    pick,
    text_of,
    whole_of,
)
from durable.expressions.bounds import (
    ABSENT,
    Evaluation,
    Missing,
    Refused,
    bounded_number,
    cost,
    ensure_count,
    json_of,
    kind_of,
    plain,
    written,
)
from durable.expressions.checks import TESTS
from durable.expressions.operators import is_number

_CALL_COST = 8  # of a filter or test on one item, beside what it charges itself
_IDENTITY_COST = 8  # of telling an item from others, beside its length
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,31})\s*")
_DECIMAL = re.compile(r"\s*[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?\s*")


# -- numbers ----------------------------------------------------------------------------------------------------


def _int(_: Evaluation, value: object, default: object = ABSENT) -> object:
    if is_number(value):
        return bounded_number(int(number_of(value)))
    match = _WHOLE.fullmatch(value) if type(value) is str and len(value) < 1_000 else None
    if match:
        return bounded_number(int(match[1]))
    return _or_default(value, "a whole number", default)


def _float(_: Evaluation, value: object, default: object = ABSENT) -> object:
    if is_number(value):
        return bounded_number(float(number_of(value)))
    if type(value) is str and len(value) < 1_000 and _DECIMAL.fullmatch(value):
        return bounded_number(float(value))
    return _or_default(value, "a number", default)


def _or_default(value: object, wanted: str, default: object) -> object:
    if default is not ABSENT:
        return default
    shown = f"{value[:40]!r}" if type(value) is str else kind_of(value)
    raise Refused(f"{shown} is not {wanted}; a default can be given in parentheses")


def _absolute(_: Evaluation, value: object) -> object:
    return abs(number_of(value))


def _rounded(_: Evaluation, value: object, precision: object = 0, method: object = "common") -> object:
    number, digits = number_of(value), whole_of(precision)
    if not -30 <= digits <= 30:
        raise Refused("a precision is between -30 and 30")
    if method == "common":
        return bounded_number(round(number, digits))
    if method not in ("ceil", "floor"):
        raise Refused("the method is 'common', 'ceil' or 'floor'")
    change = math.ceil if method == "ceil" else math.floor
    return bounded_number(change(number * 10.0**digits) / 10.0**digits)


def _sum(evaluation: Evaluation, value: object, attribute: object = None, start: object = 0) -> object:
    items = items_of(evaluation, value)
    total = number_of(start)
    for number in items if attribute is None else pick(evaluation, items, attribute):
        total = bounded_number(total + number_of(number))
    return total


# -- lists and mappings -----------------------------------------------------------------------------------------


def _length(_: Evaluation, value: object) -> int:
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise Refused(f"{kind_of(value)} has no length")


def _end(index: int) -> Function:
    def end_filter(_: Evaluation, value: object) -> object:
        if type(value) is not str and type(value) is not list:
            raise Refused(f"this filter is for lists and texts, not for {kind_of(value)}")
        return value[index] if value else ABSENT

    return end_filter


def _extreme(choose: Callable[..., object]) -> Function:
    def extreme_filter(evaluation: Evaluation, value: object, attribute: object = None) -> object:
        items = items_of(evaluation, value)
        keys = ordering_of(evaluation, items, attribute)
        return items[choose(range(len(keys)), key=keys.__getitem__)] if keys else ABSENT  # type: ignore[call-overload]

    return extreme_filter


def _sorted(evaluation: Evaluation, value: object, reverse: object = False, attribute: object = None) -> list[object]:
    items = items_of(evaluation, value)
    keys = ordering_of(evaluation, items, attribute)
    evaluation.charge(sum(map(cost, keys)) * len(keys).bit_length() // 16)
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=bool(reverse))  # type: ignore[arg-type]
    return [items[index] for index in order]


def _unique(evaluation: Evaluation, value: object, attribute: object = None) -> list[object]:
    items = items_of(evaluation, value)
    found: dict[object, object] = {}
    for item, key in zip(items, items if attribute is None else pick(evaluation, items, attribute), strict=True):
        evaluation.charge(_IDENTITY_COST + cost(key))
        found.setdefault(_identity(evaluation, key), item)
    return list(found.values())


def _identity(evaluation: Evaluation, value: object) -> object:
    """Equal for equal JSON, and hashable. Numbers are compared by their digits: Python's hash of a number is
    predictable, and a dictionary of 26,000 multiples of 2**61 - 1 (which all hash to 0) takes 15 s to build."""
    match value:
        case str():
            return value
        case float() if value.is_integer():
            return b"%x" % int(value)
        case bool() | float() | None:
            return repr(value).encode()
        case int():
            return b"%x" % value
    return msgspec.json.encode(plain(evaluation, value), order="deterministic")


def _reversed(evaluation: Evaluation, value: object) -> object:
    return text_of(evaluation, value)[::-1] if type(value) is str else items_of(evaluation, value)[::-1]


def _listed(evaluation: Evaluation, value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(mapping_of(evaluation, value))
    if type(value) is str:
        ensure_count(len(value))
        evaluation.charge(len(value))
        return list(value)
    return items_of(evaluation, value)


def _pairs(evaluation: Evaluation, value: object) -> list[list[object]]:
    mapping = mapping_of(evaluation, value)
    evaluation.charge(4 * len(mapping))
    return [[key, item] for key, item in mapping.items()]


def _sorted_pairs(evaluation: Evaluation, value: object, by: object = "key", reverse: object = False) -> list[object]:
    if by not in ("key", "value"):
        raise Refused("a mapping is sorted by 'key' or by 'value'")
    return _sorted(evaluation, _pairs(evaluation, value), reverse, ["key", "value"].index(by))


def _key_list(evaluation: Evaluation, value: object) -> list[object]:
    return list(mapping_of(evaluation, value))


def _value_list(evaluation: Evaluation, value: object) -> list[object]:
    return list(mapping_of(evaluation, value).values())


def _default(_: Evaluation, value: object, default: object, boolean: object = False) -> object:
    """The default for a value that is there; a missing name never comes here."""
    return default if boolean and not value else value


# -- filters and tests on every item ----------------------------------------------------------------------------


def _mapped(
    evaluation: Evaluation,
    value: object,
    filter: object = None,
    *arguments: object,
    attribute: object = None,
    default: object = ABSENT,
) -> list[object]:
    items = items_of(evaluation, value)
    if attribute is not None and filter is None:
        if default is ABSENT:
            return pick(evaluation, items, attribute)
        return [default if found is ABSENT else found for found in find(evaluation, items, attribute)]
    if attribute is not None or default is not ABSENT:
        raise Refused("map is given a filter's name, or attribute= and perhaps default=")
    function = named(FILTERS, "filter", filter)
    made = [_on_item(evaluation, function, item, arguments) for item in items]
    if ABSENT in made:
        raise Missing(f"item {made.index(ABSENT)} is empty and has no {filter}")
    return made


def _selected(wanted: bool) -> Function:
    def select(evaluation: Evaluation, value: object, test: object = None, *arguments: object) -> list[object]:
        holds = _condition(evaluation, test, arguments)
        return [item for item in items_of(evaluation, value) if holds(item) is wanted]

    return select


def _selected_by(wanted: bool) -> Function:
    def select(
        evaluation: Evaluation, value: object, attribute: object, test: object = None, *arguments: object
    ) -> list[object]:
        items = items_of(evaluation, value)
        found = (find if test in ("defined", "undefined") else pick)(evaluation, items, attribute)
        holds = _condition(evaluation, test, arguments)
        return [item for item, key in zip(items, found, strict=True) if holds(key) is wanted]

    return select


def _condition(evaluation: Evaluation, test: object, arguments: tuple[object, ...]) -> Callable[[object], bool]:
    match test:
        case None:
            return bool
        case "defined":
            return lambda value: value is not ABSENT
        case "undefined":
            return lambda value: value is ABSENT
        case _:
            function = named(TESTS, "test", test)
            return lambda value: bool(_on_item(evaluation, function, value, arguments))


def _on_item(evaluation: Evaluation, function: Function, item: object, arguments: tuple[object, ...]) -> object:
    made = function(evaluation, item, *arguments)
    evaluation.charge(_CALL_COST + cost(made))
    return made


# -- the allow-list ---------------------------------------------------------------------------------------------

FILTERS: Mapping[str, Function] = {
    "abs": _absolute,
    "b64decode": texts.from_base64,
    "b64encode": texts.to_base64,
    "capitalize": texts.changed(str.capitalize),
    "count": _length,
    "d": _default,
    "default": _default,
    "dictsort": _sorted_pairs,
    "first": _end(0),
    "float": _float,
    "fromjson": texts.from_json,
    "int": _int,
    "items": _pairs,
    "join": texts.joined,
    "keys": _key_list,
    "last": _end(-1),
    "length": _length,
    "list": _listed,
    "lower": texts.changed(str.lower),
    "map": _mapped,
    "max": _extreme(max),
    "min": _extreme(min),
    "raw_path": texts.path_encoded,
    "reject": _selected(False),
    "rejectattr": _selected_by(False),
    "replace": texts.replaced,
    "reverse": _reversed,
    "round": _rounded,
    "select": _selected(True),
    "selectattr": _selected_by(True),
    "sha256": texts.sha256,
    "sort": _sorted,
    "split": texts.split,
    "string": written,
    "sum": _sum,
    "title": texts.changed(str.title),
    "tojson": json_of,
    "trim": texts.trimmed,
    "truncate": texts.truncated,
    "unique": _unique,
    "upper": texts.changed(str.upper),
    "urlencode": texts.url_encoded,
    "values": _value_list,
}

URL_FILTERS = frozenset({"raw_path", "urlencode"})
"""Filters whose results may stand in a URL as they are."""
