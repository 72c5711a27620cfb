"""Models of values that a JSON Schema describes.

Inputs and outputs of actions are described by pydantic models. Where a connector declares a JSON Schema instead,
`make_model` returns a model of it, so that everything that reads models (checks of files, the editor's schema,
documentation, attempts) reads schemas too.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, ClassVar

import jsonschema_rs
from pydantic import BaseModel, RootModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from durable.schema import CompiledSchema
from durable.values import JSON

_TYPES = {
    "string": "string_type",
    "integer": "int_type",
    "number": "float_type",
    "boolean": "bool_type",
    "array": "list_type",
    "object": "dict_type",
}
"""Pydantic's error types for values that do not have a type of JSON Schema."""

_NOTES = frozenset({"default", "description", "examples", "options", "title"})

_BOUNDS = {
    "maximum": ("less_than_equal", "le"),
    "exclusiveMaximum": ("less_than", "lt"),
    "minimum": ("greater_than_equal", "ge"),
    "exclusiveMinimum": ("greater_than", "gt"),
    "maxLength": ("string_too_long", "max_length"),
    "minLength": ("string_too_short", "min_length"),
}
"""Pydantic's error types for bounds, and the names of the bounds in their contexts."""


class SchemaModel(RootModel[Any]):
    """The base of models that `make_model` makes; `root` is the value, with the defaults of missing inputs. Null is
    valid where it is the default, whatever the type."""

    schema_: ClassVar[Mapping[str, Any]] = {}

    @model_validator(mode="before")
    @classmethod
    def check_schema(cls, value: JSON) -> JSON:
        checked = value
        if isinstance(value, dict):
            properties = cls.schema_.get("properties", {})
            defaults = {name: each["default"] for name, each in properties.items() if _has_default(each)}
            value = defaults | value
            checked = {key: each for key, each in value.items() if each is not None or defaults.get(key, 0) is not None}
        problems = [each for error in _get_validator(cls).find_errors(checked) for each in _convert_error(error, value)]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return value

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return a copy of the schema, in which inputs may be null if that is their default. References to its `$defs`
        stay as they are."""
        schema = deepcopy(dict(cls.schema_))
        if isinstance(properties := schema.get("properties"), dict):
            schema["properties"] = {name: _allow_null_default(each) for name, each in properties.items()}
        return schema


def make_model(name: str, schema: Mapping[str, Any]) -> type[SchemaModel]:
    """Return a model of the values that match a JSON Schema (draft 2020-12). The validator is compiled when it is first
    needed; an invalid schema then raises `ValueError`, as `ensure_valid_schema` does."""
    return type(name, (SchemaModel,), {"schema_": schema, "__doc__": schema.get("description")})


def make_inputs_schema(inputs: Mapping[str, Mapping[str, Any]], **more: JSON) -> dict[str, Any]:
    """Return the schema of a mapping with these inputs, JSON Schemas by name. An input without a `default` is required.
    `more` are further keywords, such as `$defs`."""
    required = [name for name, each in inputs.items() if not _has_default(each)]
    plain = {"type": "object", "properties": dict(inputs), "additionalProperties": False}
    return {**plain, **({"required": required} if required else {}), **more}


def ensure_valid_schema(schema: Mapping[str, Any]) -> None:
    """Raise `ValueError` if this is not a JSON Schema."""
    _compile(schema)


def _compile(schema: Mapping[str, Any]) -> CompiledSchema:
    """Compile a schema whose messages quote no values: those of connections and answers may be secret, and messages are
    shortened before they are redacted. Raises `ValueError`."""
    try:
        return CompiledSchema(dict(schema), mask="it")
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"it is not a JSON Schema: {error}") from None


@lru_cache(maxsize=1024)
def _get_validator(model: type[SchemaModel]) -> CompiledSchema:
    return _compile(model.schema_)


def _has_default(schema: Any) -> bool:
    return isinstance(schema, Mapping) and "default" in schema


def _allow_null_default(schema: Any) -> Any:
    if not _has_default(schema) or schema["default"] is not None:
        return schema
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not schema.keys() & {"enum", "const"}:
        return {**schema, "type": [*types, *({"null"} - set(types))]}
    notes = {word: part for word, part in schema.items() if word in _NOTES}
    plain = {word: part for word, part in schema.items() if word not in _NOTES}
    return {**notes, "anyOf": [plain, {"type": "null"}]} if plain else schema


def _convert_error(error: jsonschema_rs.ValidationError, value: JSON) -> Iterator[InitErrorDetails]:
    """Convert an error to errors of pydantic, so that messages word it as they word those of other models."""
    at: tuple[str | int, ...] = tuple(error.instance_path)
    kind: Any = error.kind  # its attributes depend on its name
    inside = _find_at(value, at)
    match kind.name:
        case "type" if types := [_TYPES[name] for name in kind.types if name in _TYPES]:
            yield from (InitErrorDetails(type=name, loc=at, input=inside) for name in types)
        case "required":
            yield InitErrorDetails(type="missing", loc=(*at, kind.property), input=inside)
        case "additionalProperties":
            for name in kind.unexpected:
                yield InitErrorDetails(type="extra_forbidden", loc=(*at, name), input=inside[name])
        case "enum" if kind.options and all(isinstance(each, str | int) for each in kind.options):
            expected = [repr(each) for each in kind.options]
            shown = " or ".join([", ".join(expected[:-1]), expected[-1]]) if len(expected) > 1 else expected[0]
            yield InitErrorDetails(type="literal_error", loc=at, input=inside, ctx={"expected": shown})
        case name if name in _BOUNDS:
            problem, bound = _BOUNDS[name]
            yield InitErrorDetails(type=problem, loc=at, input=inside, ctx={bound: kind.limit})
        case _:
            custom = PydanticCustomError("schema", "{problem}", {"problem": error.message})
            yield InitErrorDetails(type=custom, loc=at, input=inside)


def _find_at(value: Any, pointer: tuple[str | int, ...]) -> Any:
    for part in pointer:
        value = value[part]
    return value


def is_schema_model(model: type[BaseModel]) -> bool:
    """Whether a model was made from a JSON Schema."""
    return issubclass(model, SchemaModel)
