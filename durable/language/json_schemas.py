"""Checks mappings of JSON Schemas by name, as in `inputs` and in the `fields` of an approval."""

from collections.abc import Iterator
from functools import cache

import jsonschema_rs

from durable.known_values import has_template, is_template
from durable.language.metaschema import TYPES, make_metaschema
from durable.language.model_schema import open_value
from durable.language.report import Report
from durable.problem import Pointer
from durable.schema import CompiledSchema
from durable.spec_model import Mapped
from durable.wording import make_printable, quote, suggest


def compile_schemas(
    declared: Mapped, pointer: Pointer, report: Report, *, may_be_open: bool
) -> Iterator[tuple[str, CompiledSchema]]:
    """Compile the schemas, and report those that are invalid. With `may_be_open`, a schema can contain expressions, and
    is then unknown."""
    for name, schema in declared.items():
        where: Pointer = (*pointer, name)
        if may_be_open and is_template(schema):
            continue
        if may_be_open and isinstance(schema, dict) and has_template(schema):
            for error in _make_open_metaschema().iter_errors(schema):
                report.add((*where, *error.instance_path), *_explain_schema(error))
            continue
        if not isinstance(schema, dict):
            hint = f"write for example '{name}: {{type: {schema if schema in TYPES else 'string'}}}'"
            if name in {"type", "properties", "required"}:
                hint = "schemas are listed here by input name; move the contents of 'properties' here"
            report.add(where, f"{quote(name)} must be a JSON Schema", hint, is_key=True)
            continue
        try:
            yield name, CompiledSchema(schema)
        except jsonschema_rs.ValidationError as error:
            report.add((*where, *error.instance_path), *_explain_schema(error))
        except (jsonschema_rs.ReferencingError, ValueError) as error:
            what = f"this is not a JSON Schema: {shorten(str(error))}"
            report.add(where, what, "references must stay inside the schema")


@cache
def _make_open_metaschema() -> jsonschema_rs.Draft7Validator:
    """Return a metaschema for schemas in which values may be expressions."""
    return jsonschema_rs.Draft7Validator(
        {"definitions": {"it": open_value(make_metaschema("it"))}, "$ref": "#/definitions/it"}
    )


def shorten(text: str) -> str:
    """Shorten a validator's message to one line."""
    return make_printable(text if len(text) <= 200 else f"{text[:199]}…")


def _explain_schema(error: jsonschema_rs.ValidationError) -> tuple[str, str]:
    """Explain what is wrong with an invalid schema, and what to do."""
    if "retrieving it failed" in error.message:
        return "the schema refers to another schema, which is not fetched", "copy it here"
    if error.instance_path[-1:] == ["type"] and isinstance(error.instance, str):
        meant = _FOREIGN_TYPES.get(error.instance.lower())
        cure = f"did you mean {quote(meant)}" if meant else suggest(error.instance, TYPES) or _SCHEMA_HELP
        return f"{quote(error.instance)} is not a type", cure
    if error.instance_path[-1:] == ["required"] and isinstance(error.instance, bool):
        cure = "an input without a 'default' is required, and one with a default is optional; remove this"
        return "'required' is a list of the names of an object's properties", cure
    return f"this is not a JSON Schema: {shorten(error.message)}", _SCHEMA_HELP


_FOREIGN_TYPES = {
    **dict.fromkeys(("date", "datetime", "email", "file", "str", "text", "uri", "url", "uuid", "varchar"), "string"),
    **dict.fromkeys(("dict", "hash", "json", "map", "mapping"), "object"),
    **dict.fromkeys(("list", "set", "tuple"), "array"),
    **dict.fromkeys(("decimal", "double", "float"), "number"),
    **dict.fromkeys(("int", "long"), "integer"),
    **dict.fromkeys(("bool", "checkbox"), "boolean"),
}
"""Names of the types in other languages."""
_SCHEMA_HELP = "see json-schema.org, draft 2020-12"
