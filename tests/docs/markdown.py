"""Markdown generated from models: tables of fields, and the names and notes of constants."""

import ast
import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter

from durable.durations import Duration
from durable.spec_model import IDENTIFIER

Schema: TypeAlias = dict[str, Any]

_DURATION = TypeAdapter(Duration).json_schema()["pattern"]
_LINKS = {
    "RetryAfter": ("rule", "retryafter"),
    "Step": ("step", "steps"),
    "TriggerSpec": ("trigger", "triggers"),
    "Waited": ("wait", "waitany"),
}
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """Text in backquotes, as many as it needs."""
    fence = "``" if "`" in text else "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def listing(names: Iterable[str], joint: str = "or") -> str:
    """`a`, `b` or `c`."""
    *first, last = map(code, names)
    return f"{', '.join(first)} {joint} {last}" if first else last


def one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def title(model: type[BaseModel]) -> str:
    """The name of a model: its title in the JSON Schema."""
    return model.model_config.get("title") or model.__name__


def summary(thing: object) -> str:
    """The docstring of a class itself, never that of its parents."""
    return one_line(inspect.cleandoc(vars(thing).get("__doc__") or ""))


def fields(
    model: type[BaseModel],
    only: Iterable[str] | None = None,
    *,
    is_given: bool = True,
    has_required: bool = True,
) -> str:
    """A row for each field, or for those of `only`, in its order. The fields of an output (not `is_given`) are never
    marked as required."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    own = definitions.get(model.__name__, schema)
    required, properties = own.get("required", ()), own["properties"]
    rows = []
    for key in properties if only is None else only:
        value = properties[key]
        kind = _kind(value, definitions)
        notes = _notes(value, has_required and key in required) if is_given else ""
        rows.append((code(key), f"{kind}{notes}", one_line(value.get("description"))))
    return table(("key", "value", "meaning"), rows) if rows else ""


def _kind(schema: Schema, definitions: Schema, *, many: bool = False) -> str:
    match schema:
        case {"$ref": ref}:
            name = ref.rpartition("/")[2]
            return _reference(definitions[name].get("title", name), many)
        case {"enum": [*words]}:
            return listing(words)
        case {"const": word}:
            return code(str(word))
        case {"oneOf": [*_, {"$ref": "#/$defs/MixedStepSpec"}]}:
            return _reference("Step", many)
        case {"anyOf": [*kinds]} | {"oneOf": [*kinds]}:
            words = [_kind(kind, definitions, many=many) for kind in kinds if kind.get("type") != "null"]
            return " or ".join(_without_narrower(dict.fromkeys(words)))
        case {"type": "array", "items": items}:
            return f"{_number('list', many)} of {_kind(items, definitions, many=True)}"
        case {"type": "object", "additionalProperties": dict(items)}:
            return f"{_number('mapping', many)}{_of(items, definitions)}"
        case {"type": "object", "patternProperties": dict(patterns)}:
            return f"{_number('mapping', many)}{_of(next(iter(patterns.values())), definitions)}"
        case {"type": "object"}:
            return _number("mapping", many)
        case {"type": "string", "pattern": pattern} if pattern == _DURATION:
            return "[durations](#durations)" if many else "[duration](#durations)"
        case {"type": "string", "pattern": pattern} if pattern == IDENTIFIER:
            return _number("name", many)
        case {"type": str(kind)}:
            return _number(_WORDS[kind], many) + _bounds(schema)
        case _:
            return "any values" if many else "any value"


def _of(items: Schema, definitions: Schema) -> str:
    """The type of a mapping's values, if it is informative."""
    words = _kind(items, definitions, many=True)
    return "" if words == "any values" or " or " in words else f" of {words}"


def _reference(name: str, many: bool) -> str:
    if name == "JsonValue":
        return "any values" if many else "any value"
    word, anchor = _LINKS.get(name, (_WORD_START.sub(" ", name).lower(), name.lower()))
    return f"[{_number(word, many)}](#{anchor})"


def _number(word: str, many: bool) -> str:
    return f"{word}s" if many and not word.startswith("true") else word


def _without_narrower(words: Collection[str]) -> list[str]:
    return [word for word in words if not (word.startswith("whole number") and word.replace("whole ", "") in words)]


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    if low is not None:
        return f", at least {low:,}"
    return f", at most {high:,}" if high is not None else ""


def _notes(schema: Schema, is_required: bool) -> str:
    notes = ["required"] if is_required else []
    if schema.get("default") not in (None, "", {}, []):
        default = schema["default"]
        words = default if isinstance(default, list) else [default]
        notes.append(f"default {listing(word if isinstance(word, str) else _written(word) for word in words)}")
    if _has_secret(schema):
        notes.append("may hold a secret")
    return "".join(f"; {note}" for note in notes)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has_secret(schema: object) -> bool:
    match schema:
        case {"secret": True}:
            return True
        case dict():
            return any(map(_has_secret, schema.values()))
        case list():
            return any(map(_has_secret, schema))
    return False


# -- constants --------------------------------------------------------------------------------------------------


def limits(modules: Mapping[ModuleType, Collection[str]]) -> str:
    """A table of constants, each with the note below it in its module."""
    rows = []
    for module, names in modules.items():
        notes = dict(_list_constants(module))
        rows += [(_format_number(getattr(module, name)), notes[name].rstrip(".")) for name in names]
    return table(("at most", "of what"), rows)


def _format_number(number: int) -> str:
    return f"{number:,}" if number < 10**12 else code(f"{number:.0e}")


def _list_constants(module: ModuleType) -> Iterator[tuple[str, str]]:
    body = ast.parse(Path(module.__file__ or "").read_text("utf-8")).body
    for statement, note in pairwise(body):
        match statement, note:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, one_line(text)
