"""Converts pydantic models to JSON Schema, draft-07, in the form that editors handle best."""

from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from durable.durations import Duration
from durable.language.steps import choose_kind
from durable.spec_model import IDENTIFIER

Schema: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[Schema], Schema]

DIALECT = "http://json-schema.org/draft-07/schema#"

_TEMPLATE = r"\{\{"
_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_EXPLAINED = {
    IDENTIFIER: "Write lower-case letters, digits and '_', beginning with a letter",
    TypeAdapter(Duration).json_schema()["pattern"]: "Write a whole number and one unit: 500ms, 30s, 5m, 2h or 7d",
}
_NUMBER = r"^\s*[-+]?[0-9]"
_AS_TEXT = {
    "integer": _NUMBER,
    "number": _NUMBER,
    "boolean": "^([01]|[tT]([rR][uU][eE])?|[fF]([aA][lL][sS][eE])?|[yY]([eE][sS])?|[nN][oO]?|[oO]([nN]|[fF][fF]))$",
}
"""Texts that pydantic converts to the type, such as `detach: yes`."""

_NARROWER = frozenset({"enum", "const", "pattern", "format", "minLength", "maxLength"})
STEP = "Step"
_IS_STEP = "isStep"
"""The name of the definition of steps, and of the keyword that marks references to it while a schema is made."""

_ANNOTATIONS = ("title", "description", "default", "examples")


# -- from a model to its schema ---------------------------------------------------------------------------------


class InputsGenerator(GenerateJsonSchema):
    """Generates schemas of inputs, without titles derived from Python names and without empty defaults."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        drafted = super().default_schema(schema)
        if drafted.get("default", 0) in (None, "", [], {}):
            del drafted["default"]
        return drafted

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        drafted = super().nullable_schema(schema)
        alternatives: list[Schema] = drafted.get("anyOf", [])
        match alternatives:
            case [{"type": str(kind)} as plain, {"type": "null"}] if not _NARROWER & plain.keys():
                return {**plain, "type": [kind, "null"]}
            case _:
                return drafted

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        drafted = super().dict_schema(schema)
        return drafted | {"additionalProperties": False} if "patternProperties" in drafted else drafted

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        drafted = super().tuple_schema(schema)
        if "prefixItems" in drafted:
            more = drafted.pop("items", False)
            drafted |= {"items": drafted.pop("prefixItems"), "additionalItems": more}
        return drafted

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        drafted = super().tagged_union_schema(schema)
        drafted.pop("discriminator", None)
        return {("anyOf" if word == "oneOf" else word): value for word, value in drafted.items()}


class SpecGenerator(InputsGenerator):
    """Generates schemas of the language's own keys, which must have a value."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        return {_IS_STEP: True} if schema["discriminator"] is choose_kind else super().tagged_union_schema(schema)


def draft_schema(
    model: type[BaseModel], generator: type[InputsGenerator], *, prefix: str = ""
) -> tuple[Schema, dict[str, Schema]]:
    """Return a model's schema, and the definitions that it refers to, named by their titles with a prefix."""
    schema = model.model_json_schema(ref_template="{model}", schema_generator=generator)
    inner: dict[str, Schema] = schema.pop("$defs", {})
    names = {name: prefix + each.get("title", name) for name, each in inner.items() if each}

    def settle(schema: Schema) -> Schema:
        schema = dict(schema)
        name = STEP if schema.pop(_IS_STEP, False) else names.get(schema.pop("$ref", "").rpartition("/")[2])
        if name:
            schema["$ref"] = f"#/definitions/{name}"
        if schema.get("pattern") in _EXPLAINED:
            schema["errorMessage"] = _EXPLAINED[schema["pattern"]]
        return map_inside(schema, settle, settle)

    if "$ref" in schema:  # the model refers to itself
        schema = inner[schema["$ref"]]
    return settle(schema), {names[name]: settle(each) for name, each in inner.items() if each}


def map_inside(schema: Schema, value: Change, alternative: Change) -> Schema:
    """Return the schema with its direct subschemas changed: those of values in it, and its alternatives."""
    changed = dict(schema)
    for word, part in schema.items():
        match word, part:
            case "properties" | "patternProperties", dict():
                changed[word] = {name: value(each) for name, each in part.items()}
            case "items" | "additionalProperties" | "additionalItems", dict():
                changed[word] = value(part)
            case "items", list():
                changed[word] = [value(each) for each in part]
            case "anyOf" | "allOf", list():
                changed[word] = [alternative(each) for each in part]
    return changed


# -- values that may be expressions -----------------------------------------------------------------------------


def open_inside(schema: Schema) -> Schema:
    """Return the schema of a value that is not an expression itself, but may contain expressions."""
    return map_inside(schema, open_value, open_inside)


def open_value(schema: Schema) -> Schema:
    """Return the schema of a value that may also be a text with `{{ … }}`. The definitions that it refers to must be
    opened too."""
    schema = open_inside(schema)
    if _takes_templates(schema):
        return schema
    types = _get_types(schema)
    if types and not {"enum", "const", "string"} & {*schema, *types}:
        wanted = " or ".join(_NAMES[each] for each in types if each != "null")
        said = f"Write {wanted}, or an expression: {{{{ … }}}}"
        pattern = "|".join([_TEMPLATE, *(_AS_TEXT[each] for each in types if each in _AS_TEXT)])
        return {**schema, "type": [*types, "string"], "pattern": pattern, "patternErrorMessage": said}
    notes = {word: schema[word] for word in _ANNOTATIONS if word in schema}
    plain = {word: part for word, part in schema.items() if word not in notes}
    alternatives = plain["anyOf"] if plain.keys() <= {"anyOf", "type"} and "anyOf" in plain else [plain]
    return {**notes, "anyOf": [*alternatives, {"type": "string", "pattern": _TEMPLATE}]}


def _takes_templates(schema: Schema) -> bool:
    if "anyOf" in schema:
        return any(map(_takes_templates, schema["anyOf"]))
    if "$ref" in schema or schema.get("pattern", "").startswith(_TEMPLATE):
        return True
    types = _get_types(schema)
    return (not types or "string" in types) and not _NARROWER & schema.keys()


def _get_types(schema: Schema) -> list[str]:
    types: str | list[str] = schema.get("type", [])
    return [types] if isinstance(types, str) else types
