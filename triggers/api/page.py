"""The HTML page of the API, rendered from the OpenAPI document. It loads nothing from other servers."""

from pathlib import Path
from typing import Any

from triggers.html.environment import make_environment

_templates = make_environment(Path(__file__).parent / "templates")


def render(document: dict[str, Any]) -> str:
    """The page of a document."""
    return _templates.get_template("reference.html").render(document=document, kind=kind, name=name)


def kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return name(schema["$ref"])
    if "anyOf" in schema:
        return " or ".join(kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{kind(schema['additionalProperties'])} by name"
    return str(schema.get("format") or schema.get("const") or schema.get("type") or "any JSON")


def name(ref: str) -> str:
    """The last part of a reference."""
    return ref.rpartition("/")[2]
