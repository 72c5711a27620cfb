"""What the output of a step is known to hold before the step is performed."""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import BaseModel

from durable.blocks.wait import LINKED
from durable.known_values import KnownList, KnownMapping, KnownScalar, KnownValue
from durable.language.catalogue import Catalogue
from durable.values import JSON

_Given: TypeAlias = "Mapping[str, JSON]"


def find_returned(use: str, given: _Given, catalogue: Catalogue) -> KnownValue:
    """What an action returns: the `output` of `keep` and `undo`."""
    if use in catalogue.core:
        return _OF_CORE[use](given) if use in _OF_CORE else None
    action = catalogue.actions.get(use)
    return _find_modelled(action.output) if action and action.output else None


def find_kept(step: _Given, returned: KnownValue) -> KnownValue:
    """What is left of it as the step's output; where a wait says what its output is when nothing comes, either is."""
    given = _find_written(step["keep"]) if "keep" in step else returned
    if isinstance(step.get("on_timeout"), list) or step.get("on_timeout", "fail") == "fail":
        return given
    return _merge(given, _find_written(step["on_timeout"]))


def find_links(step: _Given) -> Collection[str] | None:
    """The names of the links of a `wait.any`; none of a wait that has one itself, and None of other steps."""
    if step.get("use") != "wait.any":
        return () if _is_linked(step) else None
    waits = _get_mapping(_get_mapping(step.get("with")).get("waits"))
    return {name for name, each in waits.items() if _is_linked(_get_mapping(each))} or None


def _is_linked(given: _Given) -> bool:
    use = given.get("use")
    return isinstance(use, str) and use in LINKED


def _merge(one: KnownValue, other: KnownValue) -> KnownValue:
    if isinstance(one, KnownMapping) and isinstance(other, KnownMapping):
        return KnownMapping({**other.keys, **one.keys})
    return None


def _find_written(value: JSON) -> KnownValue:
    """What a value in the file is known to hold, whatever its expressions yield."""
    match value:
        case dict():
            return KnownMapping({key: _find_written(each) for key, each in value.items()})
        case _:
            return None


def _get_mapping(value: JSON) -> _Given:
    return value if isinstance(value, dict) else {}


# -- of the core's actions --------------------------------------------------------------------------------------


def _return_keys(*keys: str) -> Callable[[_Given], KnownValue]:
    held = KnownMapping(dict.fromkeys(keys))
    return lambda given: held


def _find_approval(given: _Given) -> KnownValue:
    fields = given.get("fields")
    filled = KnownMapping(dict.fromkeys(fields)) if isinstance(fields, dict) else None
    return KnownMapping({**dict.fromkeys(("approved", "by", "comment", "at")), "fields": filled})


def _find_call(given: _Given) -> KnownValue:
    return KnownMapping({"run": None}) if given.get("detach") is True else None


_OF_CORE: dict[str, Callable[[_Given], KnownValue]] = {
    "flow.call": _find_call,
    "flow.emit": _return_keys("event", "runs"),
    "flow.respond": _return_keys("status", "headers", "body"),
    "flow.undo": _return_keys("undone", "not_undone"),
    "wait.delay": _return_keys(),
    "wait.until": _return_keys(),
    "wait.webhook": _return_keys("body", "query", "headers", "method", "at"),
    "wait.approval": _find_approval,
    "wait.event": _return_keys("id", "type", "source", "subject", "time", "data"),
    "wait.any": _return_keys("name", "output"),
}


# -- of models --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _find_modelled(model: type[BaseModel]) -> KnownValue:
    schema = model.model_json_schema(mode="serialization")
    return _read_schema(schema, schema.get("$defs", {}), 0)


def _read_schema(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> KnownValue:
    if "$ref" in schema and depth < _DEPTH:
        return _read_schema(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions, depth + 1)
    match schema:
        case {"type": "object", "properties": dict(properties)} if not schema.get("additionalProperties"):
            return KnownMapping({key: _read_schema(each, definitions, depth + 1) for key, each in properties.items()})
        case {"type": "array", "items": dict(each)}:
            return KnownList(_read_schema(each, definitions, depth + 1))
        case {"type": "integer" | "number"}:
            return KnownScalar(frozenset({"number"}))
        case {"type": "string" | "boolean" | "null" as name}:
            return KnownScalar(frozenset({name}))
        case {"anyOf": [one, {"type": "null"}]}:
            known = _read_schema(one, definitions, depth + 1)
            return KnownScalar(known.types | {"null"}) if isinstance(known, KnownScalar) else known
    return None


_DEPTH = 8
"""Levels of a model, which may contain itself."""
