"""What is known of a value before it is there: the keys of a mapping, or that it is a list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from durable.language.problem import quoted, suggestion


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


Known: TypeAlias = Held | Items | None
"""None: anything."""


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
