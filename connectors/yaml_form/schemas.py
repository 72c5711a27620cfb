"""The JSON Schemas of a connector's file: of inputs, of outputs, and of the fields of connections."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from durable.schema_model import ensure_valid_schema, make_inputs_schema

Schema: TypeAlias = dict[str, Any]

_NOTES = frozenset({"about", "description", "examples", "options", "title"})
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE = frozenset(
    {
        *("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"),
        *("unevaluatedItems", "unevaluatedProperties"),
    }
)


def is_schema(schema: Any) -> bool:
    """Whether a mapping is a JSON Schema, whose references stay in it."""
    if not isinstance(schema, dict):
        return False
    try:
        ensure_valid_schema(schema)
    except ValueError:
        return False
    return True


def map_schema(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """Change a schema and all schemas in it, from the inside."""
    if not isinstance(schema, dict):
        return schema
    changed = dict(schema)
    for word, part in schema.items():
        if word in _NAMED and isinstance(part, dict):
            changed[word] = {name: map_schema(each, change) for name, each in part.items()}
        elif word in _LISTED and isinstance(part, list):
            changed[word] = [map_schema(each, change) for each in part]
        elif word in _SINGLE:
            changed[word] = map_schema(part, change)
    return change(changed)


def remove_notes(schema: Any) -> Any:
    """Return a schema without what is only for people. A pipeline version stores this form."""
    return map_schema(schema, lambda each: {word: part for word, part in each.items() if word not in _NOTES})


def name_notes(schema: Any) -> Any:
    """Return a schema with `about` under the name that JSON Schema gives it."""

    def change(each: Schema) -> Schema:
        about = each.pop("about", None)
        return {"description": about, **each} if isinstance(about, str) else each

    return map_schema(schema, change)


def make_schema_of_inputs(inputs: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping of inputs."""
    return make_inputs_schema({name: _move(each, f"/properties/{name}") for name, each in inputs.items()})


def _move(schema: Any, pointer: str) -> Any:
    """Return a schema that becomes a part of another: its references begin at its place there."""

    def change(each: Schema) -> Schema:
        reference = each.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            return {**each, "$ref": f"#{pointer}{reference[1:]}"}
        return each

    return map_schema(schema, change)


def is_single_schema(returns: Mapping[str, Any]) -> bool:
    """Whether `returns` is one schema, and not a mapping of schemas by name."""
    return any(not isinstance(part, dict | bool) for part in returns.values())


def make_schema_of_output(returns: Mapping[str, Any], *, is_listed: bool) -> Schema:
    """Return the schema of an output; of a list in pages, `returns` describes each item."""
    schema = dict(returns)
    if not is_single_schema(returns):
        required = [name for name, each in returns.items() if not (isinstance(each, dict) and "default" in each)]
        named = {name: _move(each, f"/properties/{name}") for name, each in returns.items()}
        schema = {"type": "object", "properties": named, **({"required": required} if required else {})}
    return {"type": "array", "items": _move(schema, "/items")} if is_listed else schema
