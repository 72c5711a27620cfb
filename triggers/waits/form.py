"""HTML forms for the JSON Schemas of an approval, and the submitted form as JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from durable.values import JSON, NotJSON, Value, decode

Widget: TypeAlias = Literal["text", "number", "checkbox", "choice", "json"]

PREFIX = "fields."
"""The prefix of its fields' names."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form. `value` is its content; `options` are the choices, each as JSON text and as people read
    it. `is_required`: it has no default."""

    name: str
    label: str
    widget: Widget
    step: str = "any"
    description: str | None = None
    value: str = ""
    options: tuple[tuple[str, str], ...] = ()
    is_required: bool = False

    @property
    def id(self) -> str:
        return PREFIX + self.name


def build_form(schemas: Mapping[str, JSON] | None, filled: Mapping[str, JSON] | None = None) -> list[FormField]:
    """The fields for these schemas, with their defaults or with what was `filled` in before."""
    return [
        _build_field(name, schema if isinstance(schema, dict) else {}, filled)
        for name, schema in (schemas or {}).items()
    ]


def _build_field(name: str, schema: dict[str, JSON], filled: Mapping[str, JSON] | None) -> FormField:
    given = schema.get("default") if filled is None else filled.get(name)
    widget = _choose_widget(schema)
    return FormField(
        name=name,
        label=_find_text(schema.get("title")) or name,
        widget=widget,
        step="1" if schema.get("type") == "integer" else "any",
        description=_find_text(schema.get("description")),
        value=_show_value(given, widget),
        is_required="default" not in schema,
        options=tuple((Value.of(each).text, _to_text(each)) for each in _find_choices(schema)),
    )


def _choose_widget(schema: dict[str, JSON]) -> Widget:
    if _find_choices(schema):
        return "choice"
    match schema.get("type"):
        case "string":
            return "text"
        case "number" | "integer":
            return "number"
        case "boolean":
            return "checkbox"
    return "json"


def _find_choices(schema: dict[str, JSON]) -> list[JSON]:
    choices = schema.get("enum")
    return choices if isinstance(choices, list) else []


def _show_value(given: JSON, widget: Widget) -> str:
    if given is None:
        return ""
    if widget in ("choice", "json") and not (widget == "json" and isinstance(given, str)):
        return Value.of(given).text
    return _to_text(given)


def _to_text(value: JSON) -> str:
    return value if isinstance(value, str) else Value.of(value).text


def _find_text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None


# -- and back ---------------------------------------------------------------------------------------------------


def read_form(schemas: Mapping[str, JSON] | None, sent: Mapping[str, JSON]) -> dict[str, JSON]:
    """The values of a submitted form, with the types of the schemas where possible. Empty fields are left out. Unknown
    fields are kept, so that they are refused by name."""
    known = schemas or {}
    found = {name.removeprefix(PREFIX): value for name, value in sent.items() if name.startswith(PREFIX)}
    typed = {
        name: _read_field(known.get(name), value) for name, value in found.items() if value != "" or name not in known
    }
    unchecked = {name: False for name, schema in known.items() if name not in found and _is_checkbox(schema)}
    return typed | unchecked


def _is_checkbox(schema: JSON) -> bool:
    return isinstance(schema, dict) and _choose_widget(schema) == "checkbox"


def _read_field(schema: JSON, sent: JSON) -> JSON:
    if not isinstance(sent, str):
        return sent
    match _choose_widget(schema if isinstance(schema, dict) else {}):
        case "text":
            return sent
        case "number":
            return _read_json(sent) if _NUMBER.fullmatch(sent) else sent
        case "checkbox":
            return {"on": True, "true": True, "false": False}.get(sent, sent)
    return _read_json(sent)


def _read_json(text: str) -> JSON:
    """The JSON value of a text, or else the text itself."""
    try:
        return decode(text)
    except NotJSON:
        return text
