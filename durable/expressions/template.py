"""A tree of JSON in whose texts `{{ }}` marks expressions.

A text that is one whole `{{ expression }}` becomes its value, of its native type; elsewhere an expression becomes
text, null and true and lists in JSON notation. `{%` and `{#` are text, and so are the keys of mappings. A text in
which `{{ secrets.NAME }}` stands becomes null, and a `SecretPlaceholder` beside the tree says what belongs there. A
URL is written as `durable.expressions.url` says.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from durable.expressions.bounds import Evaluation, EvaluationError, ensure_length
from durable.expressions.compiler import DottedName
from durable.expressions.expression import Expression, ExpressionError, find_end, make_error_at
from durable.expressions.grammar import read_secret_name
from durable.expressions.url import find_target, write_url
from durable.history.words import SecretName, SecretPlaceholder
from durable.values import JSON

Pointer: TypeAlias = tuple[str | int, ...]
Part: TypeAlias = str | Expression | SecretName

EXPRESSION_LIMIT = 1_000
"""Expressions in one text."""


class _Renderer(Protocol):
    """A part of the tree, ready to be rendered; it adds the slots of what it renders."""

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON: ...


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A compiled tree. `expressions` and `secret_places` say where in it what stands; `targets` are the expressions
    that decide which service a URL leads to."""

    expressions: tuple[tuple[Pointer, Expression], ...]
    secrets: frozenset[str]
    secret_places: tuple[Pointer, ...]
    targets: tuple[Expression, ...]
    _root: _Renderer

    @classmethod
    def parse(cls, value: JSON, urls: Collection[Pointer] = ()) -> "Template":
        """Compile a tree; `urls` are the places of URLs in it. Raises the first of its `problems`."""
        parser = _TemplateParser(value, urls)
        if parser.problems:
            raise parser.problems[0][1]
        return cls(
            tuple(parser.expressions),
            frozenset(parser.secrets),
            tuple(parser.secret_places),
            tuple(parser.targets),
            parser.root,
        )

    @staticmethod
    def problems(value: JSON) -> list[tuple[Pointer, ExpressionError]]:
        """Everything in the tree that cannot be compiled, with the path to its text."""
        return _TemplateParser(value).problems

    @property
    def names(self) -> frozenset[DottedName]:
        return frozenset().union(*(expression.names for _, expression in self.expressions))

    @property
    def is_constant(self) -> bool:
        return not self.expressions and not self.secrets

    def render(self, scope: Mapping[str, object]) -> tuple[JSON, tuple[SecretPlaceholder, ...]]:
        """The tree with its values, and beside it the slots of its secrets; raises `ExpressionError`."""
        slots: list[SecretPlaceholder] = []
        return self._root.render(Evaluation(scope), slots), tuple(slots)


class _TemplateParser:
    """One pass over a tree: its plan, and what was found on the way."""

    def __init__(self, value: JSON, urls: Collection[Pointer] = ()) -> None:
        self._urls = urls
        self.problems: list[tuple[Pointer, ExpressionError]] = []
        self.expressions: list[tuple[Pointer, Expression]] = []
        self.secrets: set[str] = set()
        self.secret_places: list[Pointer] = []
        self.targets: list[Expression] = []
        self.root = self._read(value, ())

    def _read(self, value: JSON, pointer: Pointer) -> _Renderer:
        match value:
            case str() if "{{" in value:
                return self._read_text(value, pointer)
            case dict():
                items = {key: self._read(item, (*pointer, key)) for key, item in value.items()}
                is_constant = all(isinstance(plan, _Constant) for plan in items.values())
                return _Constant(value) if is_constant else _Mapping(items)
            case list():
                plans = [self._read(item, (*pointer, index)) for index, item in enumerate(value)]
                return _Constant(value) if all(isinstance(plan, _Constant) for plan in plans) else _List(plans)
            case _:
                return _Constant(value)

    def _read_text(self, text: str, pointer: Pointer) -> _Renderer:
        try:
            parts = [self._read_part(text, piece, pointer) for piece in split_text(text)]
        except ExpressionError as error:
            self.problems.append((pointer, error))
            return _Constant(None)
        is_secret = any(isinstance(part, SecretName) for part in parts)
        if is_secret:
            self.secret_places.append(pointer)
        match parts:
            case _ if pointer in self._urls:
                self.targets += [target] if (target := find_target(parts)) else []
                return _Url(pointer, tuple(parts))
            case [Expression() as expression]:
                return _Whole(expression)
            case _ if is_secret:
                return _WithSecrets(pointer, tuple(parts))
            case _:
                return _Text(text, tuple(parts))

    def _read_part(self, text: str, piece: str | tuple[int, int], pointer: Pointer) -> Part:
        if isinstance(piece, str):
            return piece
        name = _find_secret(text, *piece)
        if name:
            self.secrets.add(name)
            return SecretName(name)
        expression = Expression.parse_within(text, *piece)
        self.expressions.append((pointer, expression))
        return expression


def split_text(text: str) -> Iterator[str | tuple[int, int]]:
    """The literal parts of a text, and where its expressions begin and end; raises `ExpressionError`."""
    done = count = 0
    while (start := text.find("{{", done)) >= 0:
        if start > done:
            yield text[done:start]
        end = find_end(text, start)
        yield start + 2, end
        done = end + 2
        count += 1
        if count > EXPRESSION_LIMIT:
            raise make_error_at(text, start, f"a text has at most {EXPRESSION_LIMIT:,} expressions", text)
    if done < len(text):
        yield text[done:]


def _find_secret(text: str, start: int, end: int) -> str | None:
    if "secrets" not in text[start:end]:
        return None
    try:
        return read_secret_name(text[start:end])
    except EvaluationError as refused:
        raise make_error_at(text, start + (refused.offset or 0), refused.message, text[start:end].strip()) from None


# -- plans ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Constant:
    value: JSON

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON:
        return self.value


@dataclass(frozen=True, slots=True)
class _Whole:
    expression: Expression

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON:
        return self.expression.value(evaluation)


@dataclass(frozen=True, slots=True)
class _Text:
    source: str
    parts: tuple[Part, ...]

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON:
        made: list[str] = []
        length = 0
        for part in self.parts:
            made.append(part.text(evaluation) if isinstance(part, Expression) else str(part))
            length += len(made[-1])
            _ensure_length(length, self.source)
        return "".join(made)


@dataclass(frozen=True, slots=True)
class _WithSecrets:
    pointer: Pointer
    parts: tuple[Part, ...]

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON:
        made: list[str | SecretName] = []
        for part in self.parts:
            done = part.text(evaluation) if isinstance(part, Expression) else part
            if made and isinstance(done, str) and isinstance(made[-1], str):
                made[-1] += done
            else:
                made.append(done)
        slots.append(SecretPlaceholder(self.pointer, tuple(made)))
        return None


@dataclass(frozen=True, slots=True)
class _Url:
    pointer: Pointer
    parts: tuple[Part, ...]

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON:
        match write_url(self.parts, evaluation):
            case [str(url)]:
                return url
            case made:
                slots.append(SecretPlaceholder(self.pointer, tuple(made)))
                return None


@dataclass(frozen=True, slots=True)
class _Mapping:
    items: dict[str, _Renderer] = field(default_factory=dict)

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON:
        return {key: plan.render(evaluation, slots) for key, plan in self.items.items()}


@dataclass(frozen=True, slots=True)
class _List:
    items: list[_Renderer]

    def render(self, evaluation: Evaluation, slots: list[SecretPlaceholder]) -> JSON:
        return [plan.render(evaluation, slots) for plan in self.items]


def _ensure_length(length: int, source: str) -> None:
    try:
        ensure_length(length)
    except EvaluationError as refused:
        raise make_error_at(source, 0, refused.message, source) from None
