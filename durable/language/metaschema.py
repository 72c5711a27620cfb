"""The metaschema of `inputs`: JSON Schema, draft 2020-12, with descriptions for people.

It is included here because an editor must not need network access for it. Unknown keywords are allowed, as in the
draft.
"""

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

_TYPE: Schema = {"type": "string", "enum": list(TYPES)}
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_WORDS: dict[str, tuple[str, Schema | str]] = {
    "type": ("What kind of value it is", {"anyOf": [_TYPE, {"type": "array", "items": _TYPE, "minItems": 1}]}),
    "description": ("What it is for", _TEXT),
    "title": ("What it is called", _TEXT),
    "default": ("What it is where it is not given; such an input may be left out", {}),
    "examples": ("Values that it may have", {"type": "array"}),
    "enum": ("The values that it may have, and no others", {"type": "array"}),
    "const": ("The one value that it may have", {}),
    "properties": ("The values of a mapping, by name", "by_name"),
    "required": ("The names that a mapping must have", {"type": "array", "items": _TEXT}),
    "additionalProperties": ("What a mapping's other values are; false: there are none", "schema"),
    "patternProperties": ("The values of a mapping whose names match", "by_name"),
    "propertyNames": ("What the names of a mapping are", "schema"),
    "minProperties": ("How many names a mapping has at least", _COUNT),
    "maxProperties": ("How many names a mapping has at most", _COUNT),
    "items": ("What each item of a list is", "schema"),
    "prefixItems": ("What the first items of a list are, one by one", "schemas"),
    "contains": ("What one item of a list is at least", "schema"),
    "minItems": ("How many items a list has at least", _COUNT),
    "maxItems": ("How many items a list has at most", _COUNT),
    "uniqueItems": ("Whether no two items of a list are the same", {"type": "boolean"}),
    "minLength": ("How many characters a text has at least", _COUNT),
    "maxLength": ("How many characters a text has at most", _COUNT),
    "pattern": ("The regular expression that a text matches", _TEXT),
    "format": ("What a text stands for: date-time, email, uri …", _TEXT),
    "minimum": ("What a number is at least", _NUMBER),
    "maximum": ("What a number is at most", _NUMBER),
    "exclusiveMinimum": ("What a number is more than", _NUMBER),
    "exclusiveMaximum": ("What a number is less than", _NUMBER),
    "multipleOf": ("What a number can be divided by", {"type": "number", "exclusiveMinimum": 0}),
    "anyOf": ("Schemas of which one fits at least", "schemas"),
    "oneOf": ("Schemas of which exactly one fits", "schemas"),
    "allOf": ("Schemas that all fit", "schemas"),
    "not": ("A schema that does not fit", "schema"),
    "if": ("A schema that decides between `then` and `else`", "schema"),
    "then": ("What fits where `if` does", "schema"),
    "else": ("What fits where `if` does not", "schema"),
    "$ref": ("Another schema in its place, such as #/$defs/address", _TEXT),
    "$defs": ("Schemas to refer to, by name", "by_name"),
}
"""Each keyword with its description and its value: a schema, or the name of a kind of subschemas (one, several, named)
that is defined below."""

KEYWORDS = frozenset(_WORDS) | {
    *("$schema", "$id", "$anchor", "$comment", "$vocabulary", "$dynamicRef", "$dynamicAnchor", "definitions"),
    *("dependentSchemas", "dependentRequired", "minContains", "maxContains"),
    *("unevaluatedItems", "unevaluatedProperties", "contentEncoding", "contentMediaType", "contentSchema"),
    *("deprecated", "readOnly", "writeOnly"),
}
"""The keywords of the draft, also those that are not described here."""


def make_metaschema(name: str) -> Schema:
    """Return the definition of a schema, which refers to itself by its name under `#/definitions`."""
    schema: Schema = {"$ref": f"#/definitions/{name}"}
    inner: dict[str, Schema] = {
        "schema": schema,
        "schemas": {"type": "array", "items": schema, "minItems": 1},
        "by_name": {"type": "object", "additionalProperties": schema},
    }
    return {
        "title": "JSON Schema",
        "description": "What a value may be, in JSON Schema, draft 2020-12",
        "type": ["object", "boolean"],
        "properties": {
            word: {**(inner[kind] if isinstance(kind, str) else kind), "description": meaning}
            for word, (meaning, kind) in _WORDS.items()
        },
    }
