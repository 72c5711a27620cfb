"""What is known of a value before it is there: the keys of a mapping, or that it is a list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from durable.language.problem import quoted, suggestion
from durable.values import JSON


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a name cannot be read."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A mapping with these keys and no others."""

    keys: Mapping[str, "Known"]


@dataclass(frozen=True, slots=True)
class Items:
    """A list; each of its items is this."""

    each: "Known" = None


@dataclass(frozen=True, slots=True)
class Plain:
    """A value with nothing in it, of one of these types as JSON Schema calls them; an integer is a number."""

    types: frozenset[str]


Known: TypeAlias = Held | Items | Plain | None
"""None: anything."""

_NAMED = {"string": "a text", "number": "a number", "boolean": "true or false", "null": "null"}


def behind(known: Known, keys: Sequence[str]) -> Known:
    """What is known of the value to which keys lead."""
    for key in keys:
        match known:
            case Held():
                known = known.keys.get(key)
            case Items() if is_number(key):
                known = known.each
            case _:
                return None
    return known


def unlike(known: Known, name: Sequence[str], value: JSON) -> Fault | None:
    """Why a value that is known is never equal to a constant."""
    kind = type_of(value)
    if not isinstance(known, Plain) or kind is None or kind in known.types:
        return None
    if kind == "boolean" and "number" in known.types:
        return None  # 1 is equal to true
    never = quoted(value) if isinstance(value, str) else "null" if value is None else str(value).lower()
    hint = None
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value) and "number" in known.types:
        hint = f"write {value} without quotes"
    elif kind == "number" and "string" in known.types:
        hint = f"write '{never}' in quotes"
    return Fault(f"{quoted(shown(name))} is {_kinds(known)}, and never {never}", hint)


def _kinds(known: Plain) -> str:
    return " or ".join(_NAMED[each] for each in sorted(known.types, reverse=True))


def type_of(value: JSON) -> str | None:
    """The type of a plain value, as JSON Schema calls it."""
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


def unheld(known: Known, keys: Sequence[str], name: Sequence[str]) -> Fault | None:
    """Why keys cannot be read behind a name whose value is known."""
    name = list(name)
    for key in keys:
        match known:
            case Held() if key not in known.keys:
                hint = suggestion(key, known.keys) if known.keys else "it is always null"
                return Fault(f"{quoted(shown(name))} has no {quoted(key)}", hint)
            case Held():
                known = known.keys[key]
            case Items() if not is_number(key):
                return not_an_item(name, key)
            case Items():
                known = known.each
            case Plain():
                return Fault(f"{quoted(shown(name))} is {_kinds(known)} and has no {quoted(key)}", "remove the rest")
            case None:
                return None
        name.append(key)
    return None


def not_an_item(name: Sequence[str], key: str) -> Fault:
    """What to say of a list that is read like a mapping."""
    return Fault(f"{quoted(shown(name))} is a list and has no {quoted(key)}", f"read an item: {shown(name)}[0]")


def is_number(key: str) -> bool:
    """Whether a key is that of an item."""
    return re.fullmatch(r"-?\d+", key) is not None


def shown(name: Sequence[str]) -> str:
    """A name as an expression has it."""
    return name[0] + "".join(f"[{key}]" if is_number(key) else f".{key}" for key in name[1:])
