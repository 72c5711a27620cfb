"""Expressions, compiled once and evaluated often.

ExpressionError          an expression cannot be compiled, or cannot be evaluated on this data
└── UndefinedName        it reads a name that does not exist
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import inf
from typing import Self, TypeVar

from durable.expressions.bounds import Evaluation, EvaluationError, MissingName, to_json, to_text
from durable.expressions.compiler import CompiledExpression, DottedName, compile_expression
from durable.expressions.grammar import find_closing
from durable.values import JSON

_SHOWN_LIMIT = 80

_Result = TypeVar("_Result")


class ExpressionError(Exception):
    """An expression is invalid, or failed. `message` quotes the expression, explains the error, and suggests a similar
    name. `line` and `column` (from 1) are the position in the compiled text, if known."""

    def __init__(
        self, message: str, *, expression: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expression = expression
        self.line = line
        self.column = column


class UndefinedName(ExpressionError):
    """A name that does not exist."""


@dataclass(frozen=True, slots=True)
class Position:
    """A line and a column of a text, both counted from 1."""

    line: int = 1
    column: int = 1

    @classmethod
    def of(cls, text: str, offset: int) -> Self:
        """Return the position of a character of the text."""
        return cls(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))

    def plus(self, inner: "Position") -> "Position":
        """Return the position of `inner`, which is relative to a text that begins here."""
        if inner.line > 1:
            return Position(self.line + inner.line - 1, inner.column)
        return Position(self.line, self.column + inner.column - 1)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    `source`: its text without braces.
    `names`: the dotted paths that it reads, including constant subscripts.
    `position`: where it begins in the surrounding text.
    """

    source: str
    position: Position
    _compiled: CompiledExpression = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> "Expression":
        """Compile an expression; enclosing `{{ }}` are accepted. Raises `ExpressionError`."""
        start = len(text) - len(text.lstrip())
        if not text.startswith("{{", start):
            return cls._parse_bare(text, start)
        end = find_end(text, start)
        if text[end + 2 :].strip():
            what = f"one expression is expected here, without text around it{_suggest_without_braces(text)}"
            raise make_error_at(text, start, what, text.strip())
        return cls.parse_within(text, start + 2, end)

    @classmethod
    def _parse_bare(cls, text: str, start: int) -> "Expression":
        """Compile an expression without braces; report missing or nested braces."""
        try:
            return cls.parse_within(text, start, len(text))
        except ExpressionError:
            if _BRACES.search(text) is None:
                raise
            what = f"write an expression without braces here{_suggest_without_braces(text)}"
            raise make_error_at(text, start, what, text.strip()) from None

    @classmethod
    def parse_within(cls, text: str, start: int, end: int) -> "Expression":
        """Compile a part of a text."""
        source = text[start:end]
        position = Position.of(text, start + len(source) - len(source.lstrip()))
        source = source.strip()
        try:
            return cls(source, position, _compile(source))
        except EvaluationError as error:
            raise _attach_source(error, source, position) from None

    @property
    def names(self) -> frozenset[DottedName]:
        return frozenset(self._compiled.names)

    @property
    def is_encoded(self) -> bool:
        """Whether its last filter returns text that can be inserted into a URL unchanged."""
        return self._compiled.is_encoded

    @property
    def comparisons(self) -> Sequence[tuple[DottedName, JSON]]:
        """The names that it compares with constants, and the constants."""
        return self._compiled.comparisons

    def position_of(self, name: DottedName) -> Position:
        """Return the position of the first occurrence of a name in the compiled text."""
        return self.position.plus(Position.of(self.source, self._compiled.names[name]))

    def offset_of(self, name: DottedName) -> int:
        """Return the offset of the first occurrence of a name in `source`."""
        return self._compiled.names[name]

    def evaluate(self, scope: Mapping[str, object]) -> JSON:
        """Return the value with its own type; raises `ExpressionError`, and whatever the scope raises."""
        return self.convert(self._to_json, Evaluation(scope))

    def evaluate_leniently(self, scope: Mapping[str, object]) -> JSON:
        """Like `evaluate`, but a missing name is null."""
        return self.convert(self._to_json, Evaluation(scope, is_lenient=True))

    def holds(self, scope: Mapping[str, object]) -> bool:
        """Whether the value is true, as in Python and Jinja: not null, false, zero or empty."""
        return self.convert(_is_true, Evaluation(scope))

    def build_renderer(self) -> Callable[[Evaluation], JSON]:
        """Return a function that returns the value, as part of a larger evaluation."""
        return partial(self.convert, self._to_json)

    def to_text(self, evaluation: Evaluation) -> str:
        """Return the value as part of a text."""
        return self.convert(to_text, evaluation)

    def convert(self, function: Callable[[Evaluation, object], _Result], evaluation: Evaluation) -> _Result:
        """Apply a function to the value; the function may raise `EvaluationError`."""
        try:
            return function(evaluation, self._compiled.code(evaluation))
        except EvaluationError as error:
            raise _attach_source(error, self.source, self.position) from None
        except RecursionError:
            raise ExpressionError(
                f"{shorten(self.source)}: the data is nested too deeply", expression=self.source
            ) from None

    @property
    def _to_json(self) -> Callable[[Evaluation, object], JSON]:
        return _pass_path if self._compiled.is_path else to_json

    def make_error(self, message: str) -> ExpressionError:
        """Return the error for a value that cannot be used where the expression is written."""
        line, column = self.position.line, self.position.column
        return ExpressionError(f"{shorten(self.source)}: {message}", expression=self.source, line=line, column=column)


_compile = lru_cache(maxsize=4096)(compile_expression)
_unmetered = Evaluation({}, inf)
_PLAIN_TYPES = frozenset({int, bool, type(None), dict})
_JSON_TYPES = _PLAIN_TYPES | {str, float, list}


def _pass_path(_: Evaluation, value: object) -> JSON:
    """Return the value of a path at no cost. Only the scope's own mappings, and lists of them, are lazy; anything else
    is already decoded JSON, and walking it would take 2 µs a row."""
    kind = type(value)
    if kind is list:
        is_json = _JSON_TYPES.issuperset(map(type, value))  # type: ignore[call-overload]
    elif kind is str:
        is_json = value.isascii()  # type: ignore[attr-defined]  # other texts may contain a lone surrogate
    else:
        is_json = kind in _PLAIN_TYPES
    return value if is_json else to_json(_unmetered, value)  # type: ignore[return-value]


def _is_true(_: Evaluation, value: object) -> bool:
    return bool(value)


def _suggest_without_braces(text: str) -> str:
    """Return how to write a text with braces as one expression without braces, as the end of a message."""
    if "{%" in text:
        return "; statements are not supported: write the condition alone"
    return f"; write {shorten(re.sub(r'[$#]?[{]+ *| *[}]+', '', text))}"


_BRACES = re.compile(r"\{\{|^\s*[$#]?\{\s*[\w%][^:]*$|^\s*\{\s+\{|^[^{]*\}\s*$")
"""Double braces inside a bare expression, or braces around it or at its end; unlike them, a mapping has a colon."""


def find_end(text: str, start: int) -> int:
    """Return the offset of the `}}` for the `{{` at `start`; raises `ExpressionError` if there is none."""
    if text.startswith(("{{-", "{{+"), start):
        message = "there is no whitespace control; before a sign write a space: '{{ -1 }}'"
        raise make_error_at(text, start, message, text[start:])
    try:
        end = find_closing(text, start + 2)
    except EvaluationError as error:
        raise make_error_at(text, error.offset or start, error.message, text[start:]) from None
    if end is None:
        cure = "write '}}' after the expression; for two literal braces write '{{ \"{{\" }}'"
        raise make_error_at(text, start, f"the braces '{{{{' are never closed; {cure}", text[start:])
    return end


def make_error_at(text: str, offset: int, message: str, expression: str) -> ExpressionError:
    """Return an error at a position of a text that contains an expression."""
    at = Position.of(text, offset)
    return ExpressionError(f"{shorten(expression)}: {message}", expression=expression, line=at.line, column=at.column)


def shorten(source: str) -> str:
    """Shorten an expression for a message, on one line."""
    line = " ".join(source.split())
    return line if len(line) <= _SHOWN_LIMIT else f"{line[: _SHOWN_LIMIT - 1]}…"


def _attach_source(error: EvaluationError, source: str, start: Position) -> ExpressionError:
    kind = UndefinedName if isinstance(error, MissingName) else ExpressionError
    label = error.label if isinstance(error, MissingName) else None
    position = start.plus(Position.of(source, error.offset)) if error.offset is not None else None
    return kind(
        f"{shorten(label or source) or 'empty'}: {error.message}",
        expression=source,
        line=position.line if position else None,
        column=position.column if position else None,
    )
