"""Determines what is known about the output of a step before it is performed."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from durable.blocks.core_actions import CORE_ACTIONS
from durable.known_values import KnownList, KnownMapping, KnownScalar, KnownValue
from durable.language.catalogue import Catalogue
from durable.spec_model import Mapped, get_mapping
from durable.values import JSON


def find_returned(use: str, given: Mapped, catalogue: Catalogue) -> KnownValue:
    """Return what is known about the value that an action returns, which `keep` and `undo` read as `output`."""
    if core := CORE_ACTIONS.get(use):
        return core.syntax.returns(given)
    action = catalogue.actions.get(use)
    return find_modelled(action.output) if action and action.output else None


def find_kept(step: Mapped, returned: KnownValue) -> KnownValue:
    """Return what is known about the step's output after `keep`. If `on_timeout` is a value, the output is either of
    them."""
    given = _find_written(step["keep"]) if "keep" in step else returned
    if isinstance(step.get("on_timeout"), list) or step.get("on_timeout", "fail") == "fail":
        return given
    return _merge(given, _find_written(step["on_timeout"]))


def find_links(step: Mapped) -> Collection[str] | None:
    """Return the names of a step's links: empty if the step itself has the link, None if it has none."""
    core = CORE_ACTIONS.get(str(step.get("use")))
    return core.syntax.find_links(get_mapping(step.get("with"))) if core else None


def _merge(one: KnownValue, other: KnownValue) -> KnownValue:
    if isinstance(one, KnownMapping) and isinstance(other, KnownMapping):
        return KnownMapping({**other.keys, **one.keys})
    return None


def _find_written(value: JSON) -> KnownValue:
    """Return what is known about a value in the file, whatever its expressions return."""
    match value:
        case dict():
            return KnownMapping({key: _find_written(each) for key, each in value.items()})
        case _:
            return None


# -- of models --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def find_modelled(model: type[BaseModel]) -> KnownValue:
    """Return what is known about a value that matches a model."""
    schema = model.model_json_schema(mode="serialization")
    return read_schema(schema, schema.get("$defs", {}))


_ROOM = 20_000
"""How many schemas are read at most: a model can contain itself, also many times. Each schema shares its room among
those in it."""


def read_schema(schema: Mapping[str, Any] | bool, definitions: Mapping[str, Any], room: int = _ROOM) -> KnownValue:
    """Return what is known about a value that matches a JSON Schema. A mapping has only the named keys, unless the
    schema allows others."""
    if isinstance(schema, bool) or not room:
        return None
    if "$ref" in schema:
        return read_schema(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions, room // 2)
    match schema:
        case {"type": "object", "properties": dict(properties)} if not schema.get("additionalProperties"):
            room //= len(properties) + 1
            return KnownMapping({key: read_schema(each, definitions, room) for key, each in properties.items()})
        case {"type": "array", "items": dict(each)}:
            return KnownList(read_schema(each, definitions, room // 2))
        case {"type": "integer" | "number"}:
            return KnownScalar(frozenset({"number"}))
        case {"type": "string" | "boolean" | "null" as name}:
            return KnownScalar(frozenset({name}))
        case {"anyOf": [one, {"type": "null"}]}:
            known = read_schema(one, definitions, room // 2)
            return KnownScalar(known.types | {"null"}) if isinstance(known, KnownScalar) else known
    return None
