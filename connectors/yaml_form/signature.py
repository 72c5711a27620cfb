"""What is known about an action before it is performed: its inputs and its output, for the others that use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from connectors.yaml_form.merge import LIMIT, has_pages
from connectors.yaml_form.schemas import is_schema, make_schema_of_inputs, make_schema_of_output, name_notes
from durable.action import Action
from durable.known_values import KnownList, KnownMapping, KnownValue
from durable.language.outputs import find_modelled, read_schema
from durable.schema_model import make_model
from durable.spec_model import Mapped, get_mapping
from durable.values import JSON

_LIMIT_SCHEMA: dict[str, Any] = {
    "type": "integer",
    "minimum": 1,
    "default": None,
    "about": "The maximum number of items to return; null for all",
}
"""The input that every action with pages has."""


_CHANGING = frozenset({"post", "put", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and the output of an action.

    `input`: the model of its inputs.
    `known_inputs`, `known_output`: what expressions can read of them.
    `is_read`: it changes nothing.
    """

    input: type[BaseModel]
    known_inputs: KnownMapping
    known_output: KnownValue
    is_read: bool

    @property
    def secret_inputs(self) -> frozenset[str]:
        """The inputs that may contain secrets."""
        properties = self.input.model_json_schema().get("properties", {})
        return frozenset(name for name, each in properties.items() if isinstance(each, dict) and each.get("secret"))


def read_signature(name: str, action: Mapped) -> Signature:
    """Return the signature of an action of the file, which may have errors."""
    inputs = {key: schema if is_schema(schema) else {} for key, schema in list_inputs(action).items()}
    known = KnownMapping(dict.fromkeys(inputs))
    model = make_model(name, name_notes(make_schema_of_inputs(inputs)))
    is_change = not _CHANGING.isdisjoint(action) and not has_pages(action) and action.get("idempotent") != "yes"
    return Signature(model, known, _find_output(action), not is_change)


def take_signature(action: Action) -> Signature:
    """Return the signature of an action that is written in Python."""
    known = KnownMapping(dict.fromkeys(action.input.model_json_schema().get("properties", {})))
    output = find_modelled(action.output) if action.output else None
    return Signature(action.input, known, output, action.idempotent == "yes")


def list_inputs(action: Mapped) -> dict[str, Any]:
    """Return the inputs of an action, JSON Schemas by name. One with pages has a limit."""
    inputs = get_mapping(action.get("inputs"))
    return {**inputs, LIMIT: _LIMIT_SCHEMA} if has_pages(action) and LIMIT not in inputs else inputs


def find_output_schema(action: Mapped) -> Mapping[str, Any] | None:
    """Return the JSON Schema of an action's output, as far as the file says what it is."""
    is_listed, returns = has_pages(action), action.get("returns")
    if isinstance(returns, dict) and returns:
        return make_schema_of_output(returns, is_listed=is_listed)
    if is_listed:
        return {"type": "array"}
    return _describe_written(action["output"]) if isinstance(action.get("output"), dict) else None


def _find_output(action: Mapped) -> KnownValue:
    schema = find_output_schema(action)
    if schema is None or not is_schema(schema):
        return None
    known = read_schema(schema, schema.get("$defs", {}))
    return KnownList() if known is None and has_pages(action) else known


def _describe_written(value: JSON) -> dict[str, Any]:
    """Return the schema of a value that is written with expressions."""
    if not isinstance(value, dict):
        return {}
    names = {key: _describe_written(each) for key, each in value.items()}
    return {"type": "object", "properties": names, "required": list(names), "additionalProperties": False}
