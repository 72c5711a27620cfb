"""What a pydantic model accepts at a pointer: its keys, description and example, whether it is a secret or a URL."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import BaseModel

from durable.problem import Pointer
from durable.values import JSON

Schema: TypeAlias = dict[str, Any]


class ModelShape:
    """Describes what a model accepts at a pointer in its data."""

    def __init__(self, schema: Schema) -> None:
        self._definitions: Schema = schema.get("$defs", {})
        self._root = schema

    def keys(self, pointer: Pointer) -> set[str]:
        """Return the possible keys of the mapping at the pointer."""
        return {key for schema in self._at(pointer) for key in schema.get("properties", {})}

    def description(self, pointer: Pointer) -> str | None:
        """Return the description of the value at the pointer."""
        return next((schema["description"] for schema in self._at(pointer) if "description" in schema), None)

    def example(self, pointer: Pointer) -> str | None:
        """Return an example for the value at the pointer, if the model has one."""
        return next((str(schema["examples"][0]) for schema in self._at(pointer) if schema.get("examples")), None)

    def is_anything(self, pointer: Pointer) -> bool:
        """Whether any JSON is accepted at the pointer."""
        found = self._at(pointer)
        return bool(found) and not any(_TYPING & schema.keys() for schema in found)

    def is_secret(self, pointer: Pointer) -> bool:
        """Whether the value at the pointer, or one that contains it, is secret."""
        return any(schema.get("secret") for end in range(len(pointer) + 1) for schema in self._at(pointer[:end]))

    def is_credential(self, pointer: Pointer) -> bool:
        """Whether the value at the pointer, or a value that contains it, is always secret."""
        return any(schema.get("credential") for end in range(len(pointer) + 1) for schema in self._at(pointer[:end]))

    def urls(self, data: JSON) -> tuple[Pointer, ...]:
        """Return the pointers at which an expression in the data is part of a URL."""
        return tuple(
            pointer
            for pointer, value in walk_leaves(data)
            if isinstance(value, str) and "{{" in value and self.is_url(pointer)
        )

    def is_url(self, pointer: Pointer) -> bool:
        """Whether the value at the pointer is a URL, which may contain secrets."""
        return any(schema.get("url") for schema in self._at(pointer))

    def _at(self, pointer: Pointer) -> list[Schema]:
        schemas = self._find_alternatives([self._root])
        for part in pointer:
            schemas = self._find_alternatives([inside for schema in schemas for inside in _step_into(schema, part)])
        return schemas

    def _find_alternatives(self, schemas: list[Schema]) -> list[Schema]:
        """Return the schemas and all their alternatives for the same value, each once."""
        # Nested unions repeat each schema: without this, the list grows exponentially with the depth of a pointer.
        found: dict[int, Schema] = {}
        waiting = schemas[::-1]
        while waiting:
            schema = waiting.pop()
            if id(schema) not in found:
                found[id(schema)] = schema
                found_inside = (each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, ()))
                inner = [each for each in found_inside if isinstance(each, dict)]
                referred = self._definitions.get(str(schema.get("$ref", "")).rpartition("/")[2])
                if isinstance(referred, dict):  # schemas of connectors also refer to other places, which are not read
                    inner.insert(0, referred)
                waiting += reversed(inner)
        return list(found.values())


_TYPING = frozenset({"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"})
"""Keywords of a schema that restrict the value."""


def _step_into(schema: Schema, part: str | int) -> Iterator[Schema]:
    if isinstance(part, int):
        found = [schema.get("items"), *schema.get("prefixItems", ())]
    else:
        named = schema.get("properties", {})
        others = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
        found = [named[part]] if part in named else others
    yield from (each for each in found if isinstance(each, dict))


def walk_leaves(value: JSON, pointer: Pointer = ()) -> Iterator[tuple[Pointer, JSON]]:
    """Return the scalars in a value, each with its pointer."""
    match value:
        case dict():
            for key, item in value.items():
                yield from walk_leaves(item, (*pointer, key))
        case list():
            for index, item in enumerate(value):
                yield from walk_leaves(item, (*pointer, index))
        case _:
            yield pointer, value


@lru_cache(maxsize=512)
def get_shape(model: type[BaseModel]) -> ModelShape:
    """The shape of a model's data."""
    return ModelShape(model.model_json_schema())
