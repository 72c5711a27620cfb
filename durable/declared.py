"""Converts numbers and booleans in an action's input to text where its model accepts only text.

An expression that is a whole value keeps its type, so a header or a title can become 7; inside a text it would be "7".
Null, lists and mappings are not converted, and the model rejects them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from pydantic import BaseModel

from durable.values import JSON

_Schema: TypeAlias = Mapping[str, Any]

_ROOM = 20_000
"""How many schemas of a model are read at most: a model can contain itself, also many times. Each schema shares its
room among those in it, so the depth to which a model is read depends on its width."""


@dataclass(frozen=True, slots=True)
class _TextPlan:
    """What to convert to text: this value, if it is a number or a boolean, and the values inside it, by key (`others`
    for all other keys) or as `items`."""

    numbers: bool = False
    booleans: bool = False
    keys: Mapping[str, "_TextPlan"] = field(default_factory=dict)
    others: "_TextPlan | None" = None
    items: "_TextPlan | None" = None


def write_texts(model: type[BaseModel], value: JSON) -> JSON:
    """Return the value, converted to text where the model accepts only text. Unchanged parts are not copied."""
    plan = _get_plan(model)
    return value if plan is None else _write(plan, value)


def _write(plan: _TextPlan, value: JSON) -> JSON:
    match value:
        case bool():
            return _to_text(value) if plan.booleans else value
        case int() | float():
            return _to_text(value) if plan.numbers else value
        case dict() if plan.keys or plan.others:
            changed = {}
            for key, item in value.items():
                inner = None if isinstance(item, str) else plan.keys.get(key, plan.others)
                if inner is not None and (made := _write(inner, item)) is not item:
                    changed[key] = made
            return {**value, **changed} if changed else value
        case list() if plan.items:
            items = [_write(plan.items, item) for item in value]
            return items if any(made is not item for made, item in zip(items, value, strict=True)) else value
    return value


def _to_text(value: float) -> str:
    return msgspec.json.encode(value).decode()


@lru_cache(maxsize=512)
def _get_plan(model: type[BaseModel]) -> _TextPlan | None:
    schema = model.model_json_schema()
    return _make_plan(schema, schema.get("$defs", {}), _ROOM)


def _make_plan(schema: _Schema, definitions: _Schema, room: int) -> _TextPlan | None:
    choices = list(_list_choices(schema, definitions, room))
    room //= 2 + sum(len(choice.get("properties", {})) + 2 for choice in choices)
    if not room:
        return None
    kinds = {kind for choice in choices for kind in _list_kinds(choice)}
    keys: dict[str, _TextPlan] = {}
    others = items = None
    for choice in choices:
        for key, inner in choice.get("properties", {}).items():
            if plan := _make_plan(inner, definitions, room):
                keys[key] = plan
        if isinstance(inner := choice.get("additionalProperties"), dict):
            others = others or _make_plan(inner, definitions, room)
        if isinstance(inner := choice.get("items"), dict):
            items = items or _make_plan(inner, definitions, room)
    takes_text = "string" in kinds
    numbers, booleans = takes_text and not kinds & {"number", "integer"}, takes_text and "boolean" not in kinds
    plan = _TextPlan(numbers, booleans, keys, others, items)
    return None if plan == _TextPlan() else plan


def _list_choices(schema: _Schema | bool, definitions: _Schema, room: int) -> Iterator[_Schema]:
    """Return the alternatives of a schema."""
    if not room or isinstance(schema, bool):
        return
    if "$ref" in schema:
        referred = definitions.get(schema["$ref"].rpartition("/")[2], {})
        yield from _list_choices(referred, definitions, room // 2)
        return
    inner = [each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, ())]
    if not inner:
        yield schema
    for each in inner:
        yield from _list_choices(each, definitions, room // (len(inner) + 1))


_ANY = frozenset({"string", "number", "integer", "boolean", "null", "array", "object"})


def _list_kinds(schema: _Schema) -> frozenset[str]:
    """Return the JSON types that a schema accepts, or all types if it does not specify any."""
    kinds = schema.get("type")
    if kinds is None and ("enum" in schema or "const" in schema):
        values = schema.get("enum", [schema.get("const")])
        return frozenset({"string"}) if all(isinstance(value, str) for value in values) else _ANY
    return _ANY if kinds is None else frozenset([kinds] if isinstance(kinds, str) else kinds)
