"""The wording of messages: quoted text, suggestions for misspelt names, kinds of JSON values, and pydantic's errors."""

import difflib
from collections.abc import Iterable, Mapping

from pydantic_core import ErrorDetails

from durable.values import JSON

PROBLEMS_LIMIT = 20
"""How many problems one message lists."""

_WORD_LIMIT = 60
_LISTED = 12


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    if len(word) > _WORD_LIMIT:
        return None
    by_shape = {name.lower().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), by_shape, n=1, cutoff=0.6)
    return by_shape[found[0]] if found else None


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return a hint for an unknown word: the word that was probably meant, or all known words if they are few."""
    names = sorted(known)
    meant = find_nearest(word, names)
    if meant:
        return f"did you mean {quote(meant)}"
    return f"known: {', '.join(names)}" if 0 < len(names) <= _LISTED else None


def quote(text: str) -> str:
    """Quote text from outside for a message: on one line, and shortened."""
    shown = text if len(text) <= _WORD_LIMIT else f"{text[: _WORD_LIMIT - 1]}…"
    return f"'{make_printable(shown)}'"


def make_printable(text: str) -> str:
    """Remove characters that a terminal would interpret."""
    return "".join(character if character.isprintable() or character == "\t" else "·" for character in text)


def name_kind(value: object) -> str:
    """Name the kind of a JSON value, such as `a list`; true and false name themselves."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case Mapping():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"


def describe_value(value: JSON) -> str:
    """Describe a value in a message about its type; short values are shown."""
    match value:
        case None:
            return "empty"
        case int() | float() if not isinstance(value, bool):
            return f"the number {value}"
        case str():
            return f"the text {quote(value)}"
        case _:
            return name_kind(value)


# -- errors of pydantic -----------------------------------------------------------------------------------------

EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("string_type", "string_sub_type"), "text"),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), "a mapping"
    ),
    **dict.fromkeys(("url_type", "url_parsing", "url_scheme", "url_syntax_violation"), "a URL"),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), "a date and time"),
}
"""The expected kind of value, by pydantic's error type."""

BOUNDS: Mapping[str, str] = {
    "greater_than_equal": "be at least {ge}",
    "greater_than": "be more than {gt}",
    "less_than_equal": "be at most {le}",
    "less_than": "be less than {lt}",
    "string_too_short": "have at least {min_length} characters",
    "string_too_long": "have at most {max_length} characters",
    "too_short": "have at least {min_length} entries",
    "too_long": "have at most {max_length} entries",
    "finite_number": "be a finite number",
    "multiple_of": "be a multiple of {multiple_of}",
}
"""The bound that a value must observe, by pydantic's error type."""


def explain_error(error: ErrorDetails) -> str:
    """Explain an error, as the end of a sentence that begins with the place: `must be text`."""
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "missing":
            return "it is missing"
        case "extra_forbidden":
            return "there is no such key"
        case "literal_error" | "enum" if "expected" in context:
            return f"must be {context['expected']}"
        case "value_error" | "assertion_error" if "error" in context:
            return str(context["error"])
        case "string_pattern_mismatch":
            return "does not have the required form"
        case _ if kind in EXPECTED:
            return f"must be {EXPECTED[kind]}"
        case _ if kind in BOUNDS:
            return f"must {BOUNDS[kind].format_map(_BoundFigures(context))}"
    return error["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")


class _BoundFigures(dict[str, object]):
    """The figures of a bound, some of which pydantic's context omits."""

    def __missing__(self, name: str) -> str:
        return "…"


def count_things(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 run`, `12,403 runs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def format_size(size: int) -> str:
    """A number of bytes, rounded: `812 bytes`, `1.2 KB`, `3.4 MB`."""
    if size < 1_000:
        return count_things(size, "byte")
    value = float(size)
    for unit in ("KB", "MB"):
        value /= 1_000
        if value < 1_000:
            return f"{value:.1f} {unit}"
    return f"{value / 1_000:.1f} GB"
