"""The JSON Schema of connector files for editors: the models of the grammar, completed with JSON Schema itself and with
the installed schemes of authentication. Checks that need the whole file are left to the loader."""

from typing import Any, get_args

from connectors.yaml_form.spec import METHODS, ConnectorSpec, OptionsSpec
from durable.action import ErrorClass
from durable.auth_schemes import AuthScheme, load_schemes
from durable.language.metaschema import make_metaschema
from durable.language.model_schema import (
    DIALECT,
    InputsGenerator,
    Schema,
    SpecGenerator,
    draft_schema,
    open_value,
)

_SCHEMA = {"$ref": "#/definitions/Schema"}
_WORDS: dict[str, Any] = {
    "about": {"type": "string", "description": "What it is for"},
    "secret": {"type": "boolean", "description": "Whether it is a credential, which is never shown"},
    "options": {"$ref": "#/definitions/Options"},
}
"""The keywords that the schemas in a connector's file have beside those of JSON Schema."""


def make_connector_schema() -> Schema:
    """Return the schema of a file."""
    file, definitions = draft_schema(ConnectorSpec, SpecGenerator)
    options, _ = draft_schema(OptionsSpec, SpecGenerator)
    schema = make_metaschema("Schema")
    definitions |= {"Schema": {**schema, "properties": {**schema["properties"], **_WORDS}}, "Options": options}
    file["required"].remove("id")  # it is the name of the file
    action, connection = definitions["Action"], definitions["Connection"]
    for named in (action["properties"]["inputs"], connection["properties"]["fields"]):
        named["patternProperties"] = dict.fromkeys(named["patternProperties"], _SCHEMA)
    action["anyOf"] = [{"required": [method]} for method in METHODS]
    _allow_text(action["properties"]["graphql"])
    for owner in (action, definitions["Http"]):
        owner["properties"]["headers"]["additionalProperties"]["anyOf"].append({"type": "null"})
    _name_classes(definitions["Errors"]["properties"]["classes"])
    ways = connection["properties"]["auth"]["items"]
    for scheme in load_schemes().loaded.values():
        definitions |= _define_scheme(scheme)
    ways["properties"] = {name: {"$ref": f"#/definitions/auth.{name}"} for name in sorted(load_schemes().loaded)}
    ways["additionalProperties"] = False
    return {"$schema": DIALECT, **file, "definitions": dict(sorted(definitions.items()))}


def _allow_text(schema: Schema) -> None:
    """Change a reference so that a text is accepted too."""
    schema["anyOf"] = [{"type": "string", "minLength": 1}, {"$ref": schema.pop("$ref")}]


def _name_classes(classes: Schema) -> None:
    """Name the error classes as keys, which editors complete, and not by a pattern."""
    values = classes.pop("additionalProperties")
    del classes["propertyNames"]
    classes |= {"properties": dict.fromkeys(get_args(ErrorClass), values), "additionalProperties": False}


def _define_scheme(scheme: AuthScheme) -> dict[str, Schema]:
    prefix = f"auth.{scheme.name}"
    given, inner = draft_schema(scheme.settings, InputsGenerator, prefix=f"{prefix}.")
    opened = {name: open_value(each) for name, each in inner.items()}
    return {prefix: {**open_value(given), "description": scheme.summary}, **opened}
