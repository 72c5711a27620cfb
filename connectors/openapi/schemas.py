"""Converts the schemas of a document to JSON Schema, draft 2020-12, with the definitions that they refer to.

The result is lenient where documents are not reliable: `oneOf` becomes `anyOf`, since alternatives overlap; a schema
whose reference leads to nothing allows any value; unknown keywords, `not` and conditions are left out.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import jsonschema_rs

from connectors.openapi.document import ImportedDocument, OperationSkipped, Part, split_reference
from connectors.openapi.names import shorten_text

Schema: TypeAlias = dict[str, Any]

SCHEMAS_LIMIT = 20_000
"""The maximum number of schemas of one operation's inputs."""

DEPTH_LIMIT = 60
"""The maximum depth of schemas in one another; deeper ones allow any value."""

DESCRIPTION_LIMIT = 200

_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BOUNDS = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
_SAFE = re.compile(r"[^A-Za-z0-9_.-]")

ANYTHING: Schema = {}


class SchemaConverter:
    """Converts the schemas of one operation. `definitions` are those that its schemas refer to, by name."""

    def __init__(self, document: ImportedDocument) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self._waiting: list[tuple[str, str]] = []
        self._made = 0
        self.definitions: dict[str, Schema] = {}

    def convert(self, part: Part) -> Schema:
        """Return a schema whose references lead to `definitions`; raises `OperationSkipped`."""
        schema = self._convert(part, 0)
        while self._waiting:
            reference, name = self._waiting.pop()
            self.definitions[name] = self._convert(self._find(reference), 0)
        return schema

    def _find(self, reference: str) -> Part:
        return self._document.read(split_reference(reference))

    def _convert(self, part: Part, depth: int) -> Schema:
        self._made += 1
        if self._made > SCHEMAS_LIMIT:
            raise OperationSkipped(f"its inputs have more than {SCHEMAS_LIMIT:,} schemas")
        if part is False:
            return {"not": {}}
        if not isinstance(part, dict) or depth > DEPTH_LIMIT:
            return dict(ANYTHING)
        notes = _take_notes(part)
        if isinstance(part.get("$ref"), str):
            return self._refer(part, notes)
        schema = self._convert_plain(part, depth)
        if part.get("nullable") is True:
            schema = _allow_null(schema)
        return schema | notes

    def _refer(self, part: Part, notes: Schema) -> Schema:
        reference = part["$ref"]
        if reference not in self._names:
            taken = frozenset(self._names.values())
            wanted = _SAFE.sub("_", split_reference(reference)[-1]) or "schema"
            self._names[reference] = next(
                name
                for number in range(len(taken) + 1)
                if (name := f"{wanted}_{number}" if number else wanted) not in taken
            )
            self._waiting.append((reference, self._names[reference]))
        made = {"$ref": f"#/$defs/{self._names[reference]}"}
        if part.get("nullable") is True:
            return {"anyOf": [made, {"type": "null"}]} | notes
        return made if self._document.is_3_0 else made | notes

    def _convert_plain(self, part: Part, depth: int) -> Schema:
        schema: Schema = {}
        if types := _find_types(part.get("type")):
            schema["type"] = types[0] if len(types) == 1 else types
        if isinstance(part.get("enum"), list) and part["enum"]:
            schema["enum"] = part["enum"]
        if "const" in part:
            schema["const"] = part["const"]
        schema |= _convert_bounds(part)
        if isinstance(part.get("format"), str):
            schema["format"] = part["format"]
        schema |= self._convert_mapping(part, depth) | self._convert_list(part, depth)
        if isinstance(part.get("allOf"), list) and part["allOf"]:
            schema["allOf"] = [_open_up(self._convert(each, depth + 1)) for each in part["allOf"]]
            _open_up(schema)
        alternatives = next((part[word] for word in ("anyOf", "oneOf") if isinstance(part.get(word), list)), None)
        if alternatives:
            schema["anyOf"] = [self._convert(each, depth + 1) for each in alternatives]
        return schema

    def _convert_mapping(self, part: Part, depth: int) -> Schema:
        schema: Schema = {}
        properties = part.get("properties")
        if isinstance(properties, dict):
            writable = {name: each for name, each in properties.items() if not _is_read_only(each)}
            schema["properties"] = {name: self._convert(each, depth + 1) for name, each in writable.items()}
            required = list_required(part)
            if kept := [name for name in required if name in writable or name not in properties]:
                schema["required"] = kept
        if isinstance(part.get("additionalProperties"), dict | bool):
            more = part["additionalProperties"]
            schema["additionalProperties"] = more if isinstance(more, bool) else self._convert(more, depth + 1)
        return schema

    def _convert_list(self, part: Part, depth: int) -> Schema:
        schema: Schema = {}
        items, first = part.get("items"), part.get("prefixItems")
        if isinstance(first, list) and first:
            schema["prefixItems"] = [self._convert(each, depth + 1) for each in first]
        if isinstance(items, dict | bool):
            schema["items"] = self._convert(items, depth + 1)
        if part.get("uniqueItems") is True:
            schema["uniqueItems"] = True
        return schema


def list_required(part: Part) -> list[str]:
    """Return the names of the properties that a schema requires, each once."""
    required = part.get("required")
    return [*dict.fromkeys(each for each in required if isinstance(each, str))] if isinstance(required, list) else []


def _find_types(given: object) -> list[str]:
    """Return the known types of a schema; none if it has an unknown one."""
    listed = given if isinstance(given, list) else [given]
    types = ["string" if each == "file" else each for each in listed if isinstance(each, str)]
    is_known = len(types) == len(listed) and _TYPES.issuperset(types)
    return [*dict.fromkeys(types)] if is_known else []


def _convert_bounds(part: Mapping[str, Any]) -> Schema:
    bounds: Schema = {}
    for word in _COUNTS:
        if isinstance(part.get(word), int) and not isinstance(part[word], bool) and part[word] >= 0:
            bounds[word] = part[word]
    for word, exclusive in _BOUNDS:
        bound, beyond = part.get(word), part.get(exclusive)
        if _is_number(beyond):
            bounds[exclusive] = beyond
        if _is_number(bound):
            bounds[exclusive if beyond is True else word] = bound
    if _is_number(part.get("multipleOf")) and part["multipleOf"] > 0:
        bounds["multipleOf"] = part["multipleOf"]
    if isinstance(part.get("pattern"), str) and _is_pattern(part["pattern"]):
        bounds["pattern"] = part["pattern"]
    return bounds


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=1024)
def _is_pattern(pattern: str) -> bool:
    """Whether the validator knows the pattern: documents have those of Java, PCRE and others."""
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern})
    except (jsonschema_rs.ValidationError, ValueError):
        return False
    return True


def _allow_null(schema: Schema) -> Schema:
    types = schema.get("type")
    if types is None and not {"enum", "const", "allOf", "anyOf"} & schema.keys():
        return schema
    if types is None or {"const", "allOf", "anyOf"} & schema.keys():
        return {"anyOf": [schema, {"type": "null"}]}
    listed = types if isinstance(types, list) else [types]
    schema["type"] = [*dict.fromkeys([*listed, "null"])]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _open_up(schema: Schema) -> Schema:
    """Allow other properties in a schema of `allOf`: those of its siblings."""
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    return schema


def _is_read_only(part: Part) -> bool:
    return isinstance(part, dict) and part.get("readOnly") is True


def _take_notes(part: Part) -> Schema:
    text = shorten_text(part.get("description") or part.get("title"), DESCRIPTION_LIMIT)
    return {"description": text} if text else {}
