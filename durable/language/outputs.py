"""What the output of a step is known to hold before the step is performed."""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import BaseModel

from durable.flow import LINKED
from durable.language.catalogue import Catalogue
from durable.language.known import Held, Items, Known, Plain
from durable.values import JSON

_Given: TypeAlias = "Mapping[str, JSON]"


def returned(use: str, given: _Given, catalogue: Catalogue) -> Known:
    """What an action returns: the `output` of `keep` and `undo`."""
    if use in catalogue.core:
        return _OF_CORE[use](given) if use in _OF_CORE else None
    action = catalogue.actions.get(use)
    return _modelled(action.output) if action and action.output else None


def kept(step: _Given, returned: Known) -> Known:
    """What is left of it as the step's output; where a wait says what its output is when nothing comes, either is."""
    given = _written(step["keep"]) if "keep" in step else returned
    if isinstance(step.get("on_timeout"), list) or step.get("on_timeout", "fail") == "fail":
        return given
    return _either(given, _written(step["on_timeout"]))


def links(step: _Given) -> Collection[str] | None:
    """The names of the links of a `wait.any`; none of a wait that has one itself, and None of other steps."""
    if step.get("use") != "wait.any":
        return () if _is_linked(step) else None
    waits = _mapping(_mapping(step.get("with")).get("waits"))
    return {name for name, each in waits.items() if _is_linked(_mapping(each))} or None


def _is_linked(given: _Given) -> bool:
    use = given.get("use")
    return isinstance(use, str) and use in LINKED


def _either(one: Known, other: Known) -> Known:
    if isinstance(one, Held) and isinstance(other, Held):
        return Held({**other.keys, **one.keys})
    return None


def _written(value: JSON) -> Known:
    """What a value in the file is known to hold, whatever its expressions yield."""
    match value:
        case dict():
            return Held({key: _written(each) for key, each in value.items()})
        case _:
            return None


def _mapping(value: JSON) -> _Given:
    return value if isinstance(value, dict) else {}


# -- of the core's actions --------------------------------------------------------------------------------------


def _always(*keys: str) -> Callable[[_Given], Known]:
    held = Held(dict.fromkeys(keys))
    return lambda given: held


def _approval(given: _Given) -> Known:
    fields = given.get("fields")
    filled = Held(dict.fromkeys(fields)) if isinstance(fields, dict) else None
    return Held({**dict.fromkeys(("approved", "by", "comment", "at")), "fields": filled})


def _call(given: _Given) -> Known:
    return Held({"run": None}) if given.get("detach") is True else None


_OF_CORE: dict[str, Callable[[_Given], Known]] = {
    "flow.call": _call,
    "flow.emit": _always("event", "runs"),
    "flow.respond": _always("status", "headers", "body"),
    "flow.undo": _always("undone", "not_undone"),
    "wait.delay": _always(),
    "wait.until": _always(),
    "wait.webhook": _always("body", "query", "headers", "method", "at"),
    "wait.approval": _approval,
    "wait.event": _always("id", "type", "source", "subject", "time", "data"),
    "wait.any": _always("name", "output"),
}


# -- of models --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _modelled(model: type[BaseModel]) -> Known:
    schema = model.model_json_schema(mode="serialization")
    return _of_schema(schema, schema.get("$defs", {}), 0)


def _of_schema(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Known:
    if "$ref" in schema and depth < _DEPTH:
        return _of_schema(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions, depth + 1)
    match schema:
        case {"type": "object", "properties": dict(properties)} if not schema.get("additionalProperties"):
            return Held({key: _of_schema(each, definitions, depth + 1) for key, each in properties.items()})
        case {"type": "array", "items": dict(each)}:
            return Items(_of_schema(each, definitions, depth + 1))
        case {"type": "integer" | "number"}:
            return Plain(frozenset({"number"}))
        case {"type": "string" | "boolean" | "null" as name}:
            return Plain(frozenset({name}))
        case {"anyOf": [one, {"type": "null"}]}:
            known = _of_schema(one, definitions, depth + 1)
            return Plain(known.types | {"null"}) if isinstance(known, Plain) else known
    return None


_DEPTH = 8
"""Levels of a model, which may contain itself."""
