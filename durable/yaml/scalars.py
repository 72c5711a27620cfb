"""Plain scalars: the YAML 1.2 core schema, without misleading numbers."""

import re

from durable.values import JSON
from durable.wording import quote

_CONSTANTS: dict[str, JSON] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_DIGITS_LIMIT = 100


class MisleadingScalar(ValueError):
    """A scalar does not mean what people expect."""


def parse_scalar(text: str) -> JSON:
    """Return the value of a plain scalar; raises `MisleadingScalar`."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NO_NUMBER.fullmatch(text):
        raise MisleadingScalar(f"{text} is not a valid JSON number")
    is_integer = _INTEGER.fullmatch(text) is not None
    is_based = _BASED.fullmatch(text) is not None
    if not (is_integer or is_based or _FLOAT.fullmatch(text)):
        return text
    if _LEADING_ZERO.match(text):
        raise MisleadingScalar(f"{quote(text)} is a number with a leading zero")
    if len(text) > _DIGITS_LIMIT:
        raise MisleadingScalar(f"{quote(text)} is a number of more than {_DIGITS_LIMIT} digits")
    if is_integer or is_based:
        return int(text, 0 if is_based else 10)
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise MisleadingScalar(f"{quote(text)} is too large for JSON")
    return number


def is_text(word: str) -> bool:
    """Whether a plain scalar is text, not null, a boolean or a number."""
    try:
        return isinstance(parse_scalar(word), str)
    except MisleadingScalar:
        return False
