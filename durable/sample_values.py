"""Sample values of JSON Schemas, for examples and tests of connectors and webhooks."""

from collections.abc import Mapping
from typing import Any

from durable.sample_texts import make_matching_text
from durable.values import JSON

DEPTH = 6
"""Schemas below this depth, which may contain themselves, get a null."""

_WORDS: Mapping[str, JSON] = {
    "name": "Ada",
    "email": "ada@example.com",
    **dict.fromkeys(("url", "base_url"), "https://example.com"),
    "currency": "eur",
    **dict.fromkeys(("id", "number"), 42),
    **dict.fromkeys(("total", "amount", "price"), 12.5),
    **dict.fromkeys(("count", "quantity", "qty"), 1),
}
_FORMATS: Mapping[str, JSON] = {
    "email": "ada@example.com",
    "date": "2027-01-31",
    "time": "09:00:00Z",
    "date-time": "2027-01-31T09:00:00Z",
    "uuid": "3f2b8f0e-8d0f-4c57-9f2c-7a1f0a7c9d11",
    "uri": "https://example.com",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


def make_sample_value(schema: JSON, name: str, known: Mapping[str, Any] | None = None, depth: int = 0) -> JSON:
    """Return a value that fits the simple keywords of a JSON Schema; without a schema, a value that suits the name.
    `known` are the `$defs` to which it may refer."""
    found: Mapping[str, Any] = schema if isinstance(schema, dict) else {}
    known = known if known is not None else found.get("$defs", {})
    for word in ("const", "default"):
        if word in found:
            given: JSON = found[word]
            return given
    for word in ("examples", "enum"):
        if isinstance(listed := found.get(word), list) and listed:
            first: JSON = listed[0]
            return first
    if depth > DEPTH:
        return None
    if isinstance(ref := found.get("$ref"), str):
        return make_sample_value(known.get(ref.rpartition("/")[2]), name, known, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(listed := found.get(word), list) and "type" not in found:
            parts = [each for each in listed if each != {"type": "null"}]
            return make_sample_value(parts[0] if parts else None, name, known, depth + 1)
    return _make_of_type(found, name, known, depth + 1)


def make_sample_inputs(schema: Mapping[str, Any], *, is_whole: bool = False) -> dict[str, JSON]:
    """Return sample values for the required properties of a schema; if `is_whole`, for all of them."""
    required, known = schema.get("required", ()), schema.get("$defs", {})
    return {
        name: make_sample_value(each, name, known)
        for name, each in schema.get("properties", {}).items()
        if is_whole or name in required
    }


def _make_of_type(found: Mapping[str, Any], name: str, known: Mapping[str, Any], depth: int) -> JSON:
    kind = found.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind or ("object" if "properties" in found else None):
        case "object":
            return _make_object(found, known, depth)
        case "array":
            items = found.get("items")
            return [make_sample_value(items, name, known, depth)] if isinstance(items, dict) else []
        case "integer":
            return _make_number(found, value if isinstance(value := _WORDS.get(name), int) else 1)
        case "number":
            return _make_number(found, _WORDS.get(name, 1))
        case "boolean":
            return True
        case "null":
            return None
        case "string":
            return _make_text(found, name)
    return _WORDS.get(name, f"a {name}" if name.isalpha() else "text")


def _make_object(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> JSON:
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    listed = required if isinstance(required, list) else ()
    names = [*known, *(each for each in listed if each not in known)]
    if depth > 2:  # optional values deep in an object only make it long
        names = [str(each) for each in listed]
    return {str(name): make_sample_value(known.get(str(name)), str(name), defs, depth) for name in names}


def _make_number(schema: Mapping[str, Any], usual: JSON) -> JSON:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    value = usual if isinstance(usual, int | float) else 1
    if isinstance(least, int | float) and value <= least:
        return least + ("minimum" not in schema)
    return most if isinstance(most, int | float) and value > most else value


def _make_text(schema: Mapping[str, Any], name: str) -> str:
    if isinstance(pattern := schema.get("pattern"), str) and (found := make_matching_text(pattern)):
        return found
    usual = _FORMATS.get(str(schema.get("format"))) or _WORDS.get(name, "text")
    text = usual if isinstance(usual, str) else str(usual)
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    text = text.ljust(least, "x") if isinstance(least, int) else text
    return text[:most] if isinstance(most, int) else text
