"""The schema of JSON Schemas, draft 2020-12, in the words that people write: what `inputs` holds by name.

An editor must not need the network for it, so it stands here. Words that it does not name are free, as in the draft.
"""

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def make_metaschema(name: str) -> Schema:
    """The definition of a schema, which refers to itself by its name below `#/definitions`."""
    schema: Schema = {"$ref": f"#/definitions/{name}"}
    schemas: Schema = {"type": "array", "items": schema, "minItems": 1}
    by_name: Schema = {"type": "object", "additionalProperties": schema}
    kind: Schema = {"type": "string", "enum": list(TYPES)}
    text: Schema = {"type": "string"}
    number: Schema = {"type": "number"}
    count: Schema = {"type": "integer", "minimum": 0}
    words: dict[str, tuple[str, Schema]] = {
        "type": ("What kind of value it is", {"anyOf": [kind, {"type": "array", "items": kind, "minItems": 1}]}),
        "description": ("What it is for", text),
        "title": ("What it is called", text),
        "default": ("What it is where it is not given; such an input may be left out", {}),
        "examples": ("Values that it may have", {"type": "array"}),
        "enum": ("The values that it may have, and no others", {"type": "array"}),
        "const": ("The one value that it may have", {}),
        "properties": ("The values of a mapping, by name", by_name),
        "required": ("The names that a mapping must have", {"type": "array", "items": text}),
        "additionalProperties": ("What a mapping's other values are; false: there are none", schema),
        "patternProperties": ("The values of a mapping whose names match", by_name),
        "propertyNames": ("What the names of a mapping are", schema),
        "minProperties": ("How many names a mapping has at least", count),
        "maxProperties": ("How many names a mapping has at most", count),
        "items": ("What each item of a list is", schema),
        "prefixItems": ("What the first items of a list are, one by one", schemas),
        "contains": ("What one item of a list is at least", schema),
        "minItems": ("How many items a list has at least", count),
        "maxItems": ("How many items a list has at most", count),
        "uniqueItems": ("Whether no two items of a list are the same", {"type": "boolean"}),
        "minLength": ("How many characters a text has at least", count),
        "maxLength": ("How many characters a text has at most", count),
        "pattern": ("The regular expression that a text matches", text),
        "format": ("What a text stands for: date-time, email, uri …", text),
        "minimum": ("What a number is at least", number),
        "maximum": ("What a number is at most", number),
        "exclusiveMinimum": ("What a number is more than", number),
        "exclusiveMaximum": ("What a number is less than", number),
        "multipleOf": ("What a number can be divided by", {"type": "number", "exclusiveMinimum": 0}),
        "anyOf": ("Schemas of which one fits at least", schemas),
        "oneOf": ("Schemas of which exactly one fits", schemas),
        "allOf": ("Schemas that all fit", schemas),
        "not": ("A schema that does not fit", schema),
        "if": ("A schema that decides between `then` and `else`", schema),
        "then": ("What fits where `if` does", schema),
        "else": ("What fits where `if` does not", schema),
        "$ref": ("Another schema in its place, such as #/$defs/address", text),
        "$defs": ("Schemas to refer to, by name", by_name),
    }
    return {
        "title": "JSON Schema",
        "description": "What a value may be, in JSON Schema, draft 2020-12",
        "type": ["object", "boolean"],
        "properties": {word: {**schema, "description": meaning} for word, (meaning, schema) in words.items()},
    }
