"""What the loader knows of a value that exists only in a run, to check expressions that read it: the keys of a mapping,
the items of a list, the type of a scalar."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from durable.problem import Explanation
from durable.values import JSON
from durable.wording import quote, suggest


@dataclass(frozen=True, slots=True)
class KnownMapping:
    """A mapping with exactly these keys."""

    keys: Mapping[str, "KnownValue"]


@dataclass(frozen=True, slots=True)
class KnownList:
    """A list whose items are all like `each`."""

    each: "KnownValue" = None


@dataclass(frozen=True, slots=True)
class KnownScalar:
    """A scalar of one of these types, named as in JSON Schema; integers are numbers."""

    types: frozenset[str]


KnownValue: TypeAlias = KnownMapping | KnownList | KnownScalar | None
"""None means that nothing is known."""

_NAMED = {"string": "a text", "number": "a number", "boolean": "true or false", "null": "null"}


def look_up(known: KnownValue, keys: Sequence[str]) -> KnownValue:
    """Return what is known about the value at a path of keys."""
    for key in keys:
        match known:
            case KnownMapping():
                known = known.keys.get(key)
            case KnownList() if is_index(key):
                known = known.each
            case _:
                return None
    return known


def explain_mismatch(known: KnownValue, name: Sequence[str], value: JSON) -> Explanation | None:
    """Explain why a known value never equals a constant."""
    kind = find_type(value)
    if not isinstance(known, KnownScalar) or kind is None or kind in known.types:
        return None
    if kind == "boolean" and "number" in known.types:
        return None  # 1 equals true
    never = quote(value) if isinstance(value, str) else "null" if value is None else str(value).lower()
    hint = None
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value) and "number" in known.types:
        hint = f"write {value} without quotes"
    elif kind == "number" and "string" in known.types:
        hint = f"write '{never}' in quotes"
    return Explanation(f"{quote(format_name(name))} is {_describe_types(known)}, and never {never}", hint)


def _describe_types(known: KnownScalar) -> str:
    return " or ".join(_NAMED[each] for each in sorted(known.types, reverse=True))


def find_type(value: JSON) -> str | None:
    """Return the type of a scalar, named as in JSON Schema."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
    return None


def explain_missing(known: KnownValue, keys: Sequence[str], name: Sequence[str]) -> Explanation | None:
    """Explain why keys cannot be read in a known value; `name` is its expression."""
    name = list(name)
    for key in keys:
        match known:
            case KnownMapping() if key not in known.keys:
                hint = suggest(key, known.keys) if known.keys else "it is always null"
                return Explanation(f"{quote(format_name(name))} has no {quote(key)}", hint)
            case KnownMapping():
                known = known.keys[key]
            case KnownList() if not is_index(key):
                return explain_list_access(name, key)
            case KnownList():
                known = known.each
            case KnownScalar():
                return Explanation(
                    f"{quote(format_name(name))} is {_describe_types(known)} and has no {quote(key)}", "remove the rest"
                )
            case None:
                return None
        name.append(key)
    return None


def explain_list_access(name: Sequence[str], key: str) -> Explanation:
    """Explain that a list is read like a mapping."""
    return Explanation(
        f"{quote(format_name(name))} is a list and has no {quote(key)}", f"read an item: {format_name(name)}[0]"
    )


def is_index(key: str) -> bool:
    """Whether a key is the index of an item."""
    return re.fullmatch(r"-?\d+", key) is not None


def format_name(name: Sequence[str]) -> str:
    """Return a name as written in an expression."""
    return name[0] + "".join(f"[{key}]" if is_index(key) else f".{key}" for key in name[1:])


def is_template(value: object) -> bool:
    """Whether a value is a text that contains an expression."""
    return isinstance(value, str) and "{{" in value


def has_template(value: JSON) -> bool:
    """Whether a value contains an expression anywhere."""
    match value:
        case dict():
            return any(has_template(item) for item in value.values())
        case list():
            return any(has_template(item) for item in value)
        case _:
            return is_template(value)
