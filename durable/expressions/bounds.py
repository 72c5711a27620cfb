"""The limits of an evaluation: how much it may read, create and compute.

    EvaluationError      an operation is not allowed on these values, or a limit is exceeded
    └── MissingName      a name does not exist

Both are internal: `Expression` converts them to an `ExpressionError`, which has the expression's text. A unit of work
is an item of a list or mapping, or 32 characters of text (16 if it is not ASCII). A unit takes at most 100 ns, so that
an evaluation never blocks the event loop for more than 50 ms.
"""

import math
import operator
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Final, Self

import msgspec

from durable.history.words import SecretPlaceholder
from durable.values import JSON, NESTING_LIMIT

TEXT_LIMIT = 1024 * 1024
"""The maximum length of a text that an expression creates or processes; a text that passes through may be longer."""

ITEM_LIMIT = 100_000
"""The maximum number of items of a list that an expression creates or processes."""

NUMBER_LIMIT = 10**30
"""The maximum absolute value of a computed integer."""

WORK_LIMIT = 500_000
"""The maximum units of work in one evaluation."""

_KEY_COST = 4  # of a key of a mapping, in addition to its text
_JSON_COST = 6  # of converting a value to JSON, in addition to its size


class EvaluationError(Exception):
    """An evaluation failed. `offset` is the position in the expression's text, if known."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset

    def locate(self, offset: int) -> Self:
        """Set the offset, unless one is already known."""
        if self.offset is None:
            self.offset = offset
        return self


class MissingName(EvaluationError):
    """A name does not exist. `label` is the name as written, up to the missing part."""

    def __init__(self, message: str, label: str | None = None) -> None:
        super().__init__(message)
        self.label = label


class Absent:
    """The type of `ABSENT`, the value of a missing name where that is not an error yet."""


ABSENT: Final = Absent()


class Evaluation:
    """The state of one evaluation: the names in scope, the remaining work, and the placeholders of secrets found so
    far. `is_lenient`: a missing name is null instead of an error."""

    __slots__ = ("is_lenient", "placeholders", "scope", "work_left")

    def __init__(self, scope: Mapping[str, object], work: float = WORK_LIMIT, *, is_lenient: bool = False) -> None:
        self.scope = scope
        self.work_left = work
        self.is_lenient = is_lenient
        self.placeholders: list[SecretPlaceholder] = []

    def charge(self, work: int) -> None:
        """Account for work; raises `EvaluationError` when the limit is exceeded."""
        self.work_left -= work
        if self.work_left < 0:
            raise EvaluationError("the expression computes too much; reduce the data first")


def to_json(evaluation: Evaluation, value: object, depth: int = 0) -> JSON:
    """Convert a value to JSON, charging all of it: lazy mappings become dicts, and values that JSON cannot express are
    errors.

    A value that is already plain is returned itself, not copied.
    """
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value  # type: ignore[return-value]
    if kind is str:
        return _check_text(evaluation, value)  # type: ignore[arg-type]
    if kind is float:
        return ensure_finite(value)  # type: ignore[arg-type]
    if depth > NESTING_LIMIT:
        raise EvaluationError(f"the value is nested deeper than {NESTING_LIMIT} levels")
    if kind is list:
        return _list_to_json(evaluation, value, depth + 1)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return _mapping_to_json(evaluation, value, depth + 1)
    raise EvaluationError(f"a {kind.__name__} is not JSON")


def _check_text(evaluation: Evaluation, text: str) -> str:
    evaluation.charge(cost_of(text))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise EvaluationError("a lone surrogate is not JSON") from None
    return text


def _list_to_json(evaluation: Evaluation, items: list[object], depth: int) -> JSON:
    evaluation.charge(cost_of(items))
    made = list(map(to_json, repeat(evaluation), items, repeat(depth)))
    return items if all(map(operator.is_, made, items)) else made  # type: ignore[return-value]


def _mapping_to_json(evaluation: Evaluation, mapping: Mapping[object, object], depth: int) -> JSON:
    evaluation.charge(1)
    made: dict[str, JSON] = {}
    is_plain = type(mapping) is dict
    for key in mapping:
        if type(key) is not str:
            raise EvaluationError(f"the key {key!r} is not text")
        evaluation.charge(_KEY_COST + cost_of(key))
        item = mapping[key]
        made[key] = to_json(evaluation, item, depth)
        is_plain = is_plain and made[key] is item
    return mapping if is_plain else made  # type: ignore[return-value]


def cost_of(value: object) -> int:
    """Return the work of iterating over a value once, without the contents of its items."""
    if type(value) is str:
        return 1 + len(value) // (32 if value.isascii() else 16)
    if type(value) is list or isinstance(value, dict):
        return 1 + len(value)
    return 1


def ensure_finite(number: float) -> float:
    if not math.isfinite(number):
        raise EvaluationError(f"the result is {number}, which is not JSON")
    return number


def ensure_bounded(number: object) -> int | float:
    """Return a computed number; raises if it is too large, not finite or not real."""
    if type(number) is float:
        return ensure_finite(number)
    if type(number) is int:
        if -NUMBER_LIMIT <= number <= NUMBER_LIMIT:
            return number
        raise EvaluationError("the result is too large a number")
    raise EvaluationError("the result is not a real number")


def ensure_length(length: int) -> None:
    """Reject a text of this length; call it before the text is created, if possible."""
    if length > TEXT_LIMIT:
        raise EvaluationError(f"a text of more than {TEXT_LIMIT:,} characters is too long for an expression")


def ensure_count(count: int) -> None:
    """Reject a list of this length; call it before the list is created, if possible."""
    if count > ITEM_LIMIT:
        raise EvaluationError(f"a list of more than {ITEM_LIMIT:,} items is too long for an expression")


def to_json_text(evaluation: Evaluation, value: object) -> str:
    """Return a value in JSON notation, on one line."""
    evaluation.charge(_JSON_COST)
    data = to_json(evaluation, value)
    made = msgspec.json.encode(data).decode()
    ensure_length(len(made))
    return made


def to_text(evaluation: Evaluation, value: object) -> str:
    """Return a value as part of a text: a text unchanged, anything else in JSON notation."""
    return value if type(value) is str else to_json_text(evaluation, value)


def join_texts(evaluation: Evaluation, values: Iterable[object], separator: str = "") -> str:
    """Join the values into one text."""
    parts: list[str] = []
    length = -len(separator)
    for value in values:
        parts.append(to_text(evaluation, value))
        length += len(separator) + len(parts[-1])
        ensure_length(length)
    return separator.join(parts)
