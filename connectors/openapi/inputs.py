"""Collects the inputs of an operation, and the places of its request to which each goes."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from connectors.declared.compiled import ParameterStyle
from connectors.openapi.document import OperationSkipped
from connectors.openapi.schemas import Schema
from durable.language.scope import SYNTAX
from durable.values import JSON
from durable.wording import quote

Place: TypeAlias = Literal["path", "query", "header", "body"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

BODY = "body"
"""The input that is the body, or that holds those of its fields whose names other inputs have."""


@dataclass(slots=True)
class CollectedInputs:
    """The inputs of an operation so far.

    `schemas`, `required`: of the inputs by name.
    `params`, `headers`, `body`: the templates that read them.
    """

    schemas: dict[str, Schema] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    params: dict[str, JSON] = field(default_factory=dict)
    headers: dict[str, JSON] = field(default_factory=dict)
    styles: dict[str, ParameterStyle] = field(default_factory=dict)
    body: Any = None

    def add(self, name: str, schema: Schema, place: Place, *, is_required: bool) -> str:
        """Add an input, and return its name: `query_id` if another input already has the name `id`."""
        if "{{" in name or "}}" in name or "{%" in name or not name:
            raise OperationSkipped(f"its parameter {quote(name)} has a name that no template can read")
        chosen = name if name not in self.schemas else f"{place}_{name}"
        if chosen in self.schemas:
            raise OperationSkipped(f"it has two parameters with the name {quote(name)}")
        self.schemas[chosen] = schema
        if is_required:
            self.required.add(chosen)
        return chosen

    def make_schema(self, definitions: dict[str, Schema]) -> Schema:
        """Return the schema of all inputs."""
        required = [name for name in self.schemas if name in self.required and "default" not in self.schemas[name]]
        return {
            "type": "object",
            "properties": self.schemas,
            "additionalProperties": False,
            **({"required": required} if required else {}),
            **({"$defs": definitions} if definitions else {}),
        }


def read_input(name: str, *keys: str) -> str:
    """Return the expression that reads an input, or a value in it."""
    path = "".join(f".{key}" if _is_plain(key) else f"[{quote_text(key)}]" for key in (name, *keys))
    return f"inputs{path}"


def make_template(expression: str) -> str:
    return f"{{{{ {expression} }}}}"


def _is_plain(name: str) -> bool:
    return _IDENTIFIER.fullmatch(name) is not None and name not in SYNTAX


def quote_text(text: str) -> str:
    """Return a text as expressions write it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"
