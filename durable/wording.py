"""What a pydantic error says, in Waypost's own words."""

from collections.abc import Mapping

from pydantic_core import ErrorDetails

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
"""What has to stand there, by the kind of error."""

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
"""What a value must do, by the kind of error."""


def explain_error(error: ErrorDetails) -> str:
    """What is wrong, as the end of a sentence that begins with the place: `must be text`."""
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
    """The figures of a bound; pydantic leaves out those that it has no context for."""

    def __missing__(self, name: str) -> str:
        return "…"
