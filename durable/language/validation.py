"""Validates data against pydantic models, and converts pydantic's errors to Waypost's messages and hints."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from durable.action import LiteralError
from durable.language.braces import is_whole_expression
from durable.language.steps import SYNTAXES, WORDS
from durable.model_shape import ModelShape, get_shape
from durable.problem import DataProblem, Pointer
from durable.spec_model import KIND_TAG, MIXED_TAG
from durable.values import JSON
from durable.wording import (
    BOUNDS,
    EXPECTED,
    describe_value,
    explain_error,
    find_nearest,
    make_printable,
    quote,
    suggest,
)


class NestedProblems(ValueError):
    """Raised by a model's validator with the problems inside a value; pointers are relative to the value."""

    def __init__(self, message: str, found: Sequence[DataProblem]) -> None:
        super().__init__(message)
        self.found = found


class Hints(NamedTuple):
    """What to do about unknown keys, and examples of values and of list items by key."""

    keys: Mapping[str, str]
    values: Mapping[str, str]
    items: Mapping[str, str]


NO_HINTS = Hints({}, {}, {})


def find_data_problems(
    model: type[BaseModel],
    data: JSON,
    *,
    is_open: Callable[[object], bool] = lambda value: False,
    hints: Hints = NO_HINTS,
    context: Mapping[str, JSON] | None = None,
) -> list[DataProblem]:
    """Return everything in the data that does not match the model.

    `is_open`: the type of a value is not known yet.
    `context`: passed to the model's validators.
    """
    try:
        model.model_validate(data, context=context or {})
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        return []
    errors = [_PydanticProblem(detail, *_locate(data, detail)) for detail in details]
    scalar = {each.pointer for each in errors if not each.wants_container}
    judged = [
        each
        for each in errors
        if each.is_about_key
        or each.is_certain
        or not is_open(each.value)
        or (each.wants_container and each.pointer not in scalar)
    ]
    judged = [each for each in judged if not each.is_consequence]
    return list(_explain_all(judged, get_shape(model), hints))


# -- from pydantic's errors to sentences ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _PydanticProblem:
    """An error of pydantic at its place in the data. `is_union`: it belongs to one of a union's alternatives."""

    detail: ErrorDetails
    pointer: Pointer
    value: JSON
    is_union: bool

    @property
    def kind(self) -> str:
        return self.detail["type"]

    @property
    def is_about_key(self) -> bool:
        return self.kind in {"missing", "extra_forbidden"} or self.detail["loc"][-1:] == ("[key]",)

    @property
    def is_certain(self) -> bool:
        """Whether the error exists for all values that the expressions may have."""
        return isinstance(self.context.get("error"), LiteralError)

    @property
    def wants_container(self) -> bool:
        """Whether a list or a mapping is required, and the value is a text with expressions, which remains a text."""
        is_text = isinstance(self.value, str) and not is_whole_expression(self.value)
        return is_text and EXPECTED.get(self.kind) in {"a list", "a mapping"}

    @property
    def is_consequence(self) -> bool:
        """Whether the error only follows from another: pydantic does not count invalid items of a list, and a step
        without a single kind lacks keys of the other kinds."""
        if self.kind == "too_short":
            return len(_get_container(self.value)) >= int(self.context["min_length"])
        location = self.detail["loc"]
        if location[-2:-1] == (MIXED_TAG,):
            return location[-1] != "id" and (self.kind == "missing" or (self.value is None and self.kind in EXPECTED))
        return location[-1:] == (MIXED_TAG,) and self.kind == "value_error"

    @property
    def context(self) -> Mapping[str, Any]:
        return self.detail.get("ctx", {})


def _get_container(value: JSON) -> list[JSON] | dict[str, JSON]:
    return value if isinstance(value, list | dict) else []


def _locate(data: JSON, detail: ErrorDetails) -> tuple[Pointer, JSON, bool]:
    """Return the pointer of an error's `loc`, without the tags of unions, and the value there."""
    pointer: list[str | int] = []
    value, is_union = data, False
    location = detail["loc"]
    ending = location[-1:] if detail["type"] == "missing" else ()
    for part in location[: len(location) - len(ending)]:  # a part that does not exist in the data is the tag of a union
        match value:
            case dict() if part in value:
                value = value[str(part)]
            case list() if isinstance(part, int) and part < len(value):
                value = value[part]
            case _:
                is_union = is_union or not (part == "[key]" or str(part).startswith(KIND_TAG))
                continue
        pointer.append(part)
    return (*pointer, *ending), value, is_union


def _explain_all(errors: Sequence[_PydanticProblem], shape: ModelShape, hints: Hints) -> Iterator[DataProblem]:
    # pydantic reports every alternative of a union. The one with the deepest error is probably intended.
    around = {error.pointer[:end] for error in errors if error.is_union for end in range(len(error.pointer))}
    errors = [error for error in errors if not (error.is_union and error.pointer in around)]
    expected: dict[Pointer, list[str]] = {}
    mistyped = {error.pointer for error in errors if error.kind in EXPECTED}
    worded = {error.pointer for error in errors if error.kind == "literal_error"} & mistyped
    for error in errors:
        if error.kind in EXPECTED:
            expected.setdefault(error.pointer, []).append(EXPECTED[error.kind])
        elif error.kind == "literal_error" and error.pointer in worded:
            expected.setdefault(error.pointer, []).append(str(error.context["expected"]))
    errors = [error for error in errors if error.kind != "literal_error" or error.pointer not in worded]
    for error in errors:
        if isinstance(inside := error.context.get("error"), NestedProblems):
            yield from (replace(each, pointer=(*error.pointer, *each.pointer)) for each in inside.found)
        elif error.kind not in EXPECTED:
            yield _explain_one(error, shape, hints)
        elif error.pointer in expected:
            yield _explain_type(error, " or ".join(dict.fromkeys(expected.pop(error.pointer))), hints)


def _explain_type(error: _PydanticProblem, expected: str, hints: Hints) -> DataProblem:
    subject = _name_subject(error.pointer)
    if error.value is None:
        return DataProblem(error.pointer, f"{subject} is empty", f"give it {expected}")
    match error.pointer:
        case (*_, str(name), int()):
            item = f"write for example '- {hints.items[name]}'" if name in hints.items else None
            hint = item or _suggest_shape(error.value, expected, "", {})
        case (*_, name):
            hint = _suggest_shape(error.value, expected, str(name), hints.values)
        case _:
            hint = None
    return DataProblem(error.pointer, f"{subject} must be {expected}, not {describe_value(error.value)}", hint)


def _suggest_shape(value: JSON, expected: str, name: str, examples: Mapping[str, str]) -> str | None:
    """Return a hint for a value of the wrong type."""
    example = _show_example(name, examples)
    if isinstance(value, bool) and name == "if":
        return (
            "remove it: a step without 'if' is always performed"
            if value
            else "quote it: 'if: \"false\"' skips the step"
        )
    match expected, value:
        case "text", bool() | int() | float():
            return (example if name in WORDS.conditions - {"if"} else None) or "quote it"
        case "text", list() | dict() if name in examples and any(name == syntax.items for syntax in SYNTAXES):
            return f"name a list, such as '{name}: {examples[name]}', or write the list in quotes"
        case "a mapping", str() if joined := _JOINED.match(value):
            return f"put a space after the colon: '{joined[1]}: {make_printable(joined[2])[:40]}'"
        case (("a list" | "a mapping"), str()) if value.lstrip()[:1] in {"{", "["} and value.lstrip()[:2] != "{{":
            return "it is JSON in a text; write it without quotes or '|'"
        case (("a list" | "a mapping"), str()) if "{{" in value and not is_whole_expression(value):
            return "with text around the expression the result is a text; write the '{{ … }}' alone"
        case "a list", dict() if example is None or name in {"steps", "triggers"}:
            return "begin each of its items with '- '"
        case "a list", str() | int() | float() if example is None and name:
            return f"write '{name}: [{make_printable(str(value))[:40]}]'"
        case "a mapping", _ if example is None and name and not name.isdigit():
            return f"write '{name}: {{name: value}}'"
        case "a whole number" | "a number", str() if re.fullmatch(r"-?\d{1,9}(\.\d+)?", value):
            return f"write {value} without quotes"
        case "true or false", str() if value.lower() in {"true", "false", "yes", "no", "on", "off"}:
            return f"write {'true' if value.lower() in {'true', 'yes', 'on'} else 'false'} without quotes"
    return example


def _show_example(name: str, examples: Mapping[str, str]) -> str | None:
    """Return how to write a key with a value of the right shape, if that is known."""
    return f"write for example '{name}: {examples[name]}'" if name in examples else None


_JOINED = re.compile(r"([A-Za-z_][\w-]*):([^\s/].*)")
"""A key and a value without a space between them, which YAML reads as one text."""


def _explain_one(error: _PydanticProblem, shape: ModelShape, hints: Hints) -> DataProblem:
    subject, context = _name_subject(error.pointer), error.context
    match error.kind:
        case "missing":
            name = str(error.pointer[-1])
            purpose = shape.description(error.pointer)
            hint = f"add '{name}: …' ({_begin_small(_get_first_sentence(purpose))})" if purpose else f"add '{name}: …'"
            return DataProblem(error.pointer, f"{subject} is missing", hint)
        case "extra_forbidden":
            name = str(error.pointer[-1])
            known = shape.keys(error.pointer[:-1])
            cure = (
                _suggest_blank(name, known)
                or _suggest_foreign(error.pointer, known, hints.keys)
                or suggest(name, known)
            )
            return DataProblem(error.pointer, f"unknown key {quote(name)}", cure, is_key=True)
        case "literal_error" | "enum":
            return _explain_choice(error, re.findall(r"'([^']*)'|(\d+)", str(context["expected"])))
        case "string_pattern_mismatch" if context["pattern"] == "^[a-z][a-z0-9_]*$":
            return _explain_name(error)
        case "value_error" | "assertion_error":
            message, _, hint = str(context["error"]).partition("; ")
            is_named = message.startswith((subject, f"{subject[1:-1]}.", f"{subject[1:-1]}:")) or not error.pointer
            message = message if is_named else f"{subject}: {message}"
            return DataProblem(error.pointer, message, hint or None, error.is_about_key)
        case "too_short" | "string_too_short" if context["min_length"] == 1:
            name = str(error.pointer[-1]) if error.pointer else ""
            hint = _show_example(name, hints.values) or "give it a value, or remove it"
            return DataProblem(error.pointer, f"{subject} is empty", hint)
        case "string_pattern_mismatch":
            example = shape.example(error.pointer)
            form = f"write it as in {quote(example)}" if example else shape.description(error.pointer)
            return DataProblem(error.pointer, f"{subject} cannot be {describe_value(error.value)}", form)
        case kind if kind in BOUNDS:
            bound = BOUNDS[kind].format(**context)
            return DataProblem(error.pointer, f"{subject} must {bound}", None)
        case _:
            return DataProblem(error.pointer, f"{subject}: {explain_error(error.detail)}")


def _suggest_blank(name: str, known: Collection[str]) -> str | None:
    """Return a hint for `timeout:10s`, which YAML reads as one text."""
    key, colon, value = name.partition(":")
    return f"put a space after the colon: '{key}: {make_printable(value)[:40]}'" if colon and key in known else None


_MEANT = re.compile(r"did you mean '(\w+)'")


def _suggest_foreign(pointer: Pointer, known: Collection[str], cures: Mapping[str, str]) -> str | None:
    """Return a hint for a key of another tool; None if the suggested key is not allowed there either."""
    name = str(pointer[-1])
    cure = cures.get(f"{pointer[-2]}.{name}" if len(pointer) > 1 else name) or cures.get(name)
    meant = _MEANT.match(cure or "")
    return None if meant and known and meant[1] not in known else cure


def _explain_choice(error: _PydanticProblem, expected: Sequence[tuple[str, str]]) -> DataProblem:
    names = [text or number for text, number in expected]
    shown = ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else "".join(names)
    given = error.pointer[-1] if error.is_about_key else error.value
    message = f"{_name_subject(error.pointer)} must be {shown}"
    message = message if error.is_about_key else f"{message}, not {describe_value(error.value)}"
    meant = find_nearest(given, names) if isinstance(given, str) else None
    return DataProblem(error.pointer, message, f"did you mean {quote(meant)}" if meant else None, error.is_about_key)


def _explain_name(error: _PydanticProblem) -> DataProblem:
    is_key = error.is_about_key
    name = str(error.pointer[-1] if is_key else error.value)
    if not is_key and error.pointer[-1:] == ("connection",) and "{{" in name:
        what = "an expression can choose only from listed connections"
        return DataProblem(error.pointer, what, f'write {{one_of: [NAME, …], name: "{make_printable(name)}"}}')
    cured = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")
    cured = cured if re.match("[a-z]", cured) else f"x{cured}"
    message = f"{quote(name)} is not a valid name: use lower-case letters, digits and '_', beginning with a letter"
    return DataProblem(error.pointer, message, f"write {quote(cured)}", is_key)


def _name_subject(pointer: Pointer) -> str:
    match pointer:
        case ():
            return "the whole"
        case (*_, str(name)):
            return quote(name)
        case (*_, str(name), int(index)):
            return f"item {index + 1} of {quote(name)}"
        case _:
            return f"item {int(pointer[-1]) + 1}"


def _get_first_sentence(text: str) -> str:
    return text.partition("\n")[0].removesuffix(".")


def _begin_small(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
