"""Templates: JSON trees whose texts contain `{{ }}` expressions.

A text that is exactly one `{{ expression }}` becomes its value, with its type. Inside other text, an expression becomes
text, with null, booleans and lists in JSON notation. `{%`, `{#` and the keys of mappings are literal text. A text that
contains `{{ secrets.NAME }}` becomes null, and a `SecretPlaceholder` returned with the tree says what belongs there.
URLs are rendered by `durable.expressions.url`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from durable.expressions.bounds import Evaluation, EvaluationError, ensure_length
from durable.expressions.compiler import DottedName
from durable.expressions.expression import Expression, find_end, make_error_at
from durable.expressions.grammar import read_secret_name
from durable.expressions.url import Part, find_target, write_url
from durable.history.words import SecretName, SecretPlaceholder
from durable.values import JSON

Pointer: TypeAlias = tuple[str | int, ...]

Renderer: TypeAlias = Callable[[Evaluation], JSON]
"""Renders a part of a tree; adds the placeholders of its secrets to the evaluation."""

EXPRESSION_LIMIT = 1_000
"""The maximum number of expressions in a text."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A compiled tree. `expressions` are its expressions, with their pointers; `targets` are the expressions that
    determine the host of a URL."""

    expressions: tuple[tuple[Pointer, Expression], ...]
    secrets: frozenset[str]
    targets: tuple[Expression, ...]
    _render: Renderer

    @classmethod
    def parse(cls, value: JSON, urls: Collection[Pointer] = ()) -> "Template":
        """Compile a tree; `urls` are the pointers of the URLs in it. Raises `ExpressionError`."""
        compiler = _TemplateCompiler(urls)
        render = compiler.compile(value, ())
        return cls(
            tuple(compiler.expressions),
            frozenset(compiler.secrets),
            tuple(compiler.targets),
            render or (lambda _: value),
        )

    @property
    def names(self) -> frozenset[DottedName]:
        return frozenset().union(*(expression.names for _, expression in self.expressions))

    @property
    def is_constant(self) -> bool:
        return not self.expressions and not self.secrets

    def render(
        self, scope: Mapping[str, object], *, is_lenient: bool = False
    ) -> tuple[JSON, tuple[SecretPlaceholder, ...]]:
        """Return the rendered tree, and the placeholders of its secrets; raises `ExpressionError`. `is_lenient`: a
        missing name is null instead of an error."""
        evaluation = Evaluation(scope, is_lenient=is_lenient)
        return self._render(evaluation), tuple(evaluation.placeholders)


class _TemplateCompiler:
    """Compiles one tree, and collects its expressions."""

    def __init__(self, urls: Collection[Pointer]) -> None:
        self._urls = urls
        self.expressions: list[tuple[Pointer, Expression]] = []
        self.secrets: set[str] = set()
        self.targets: list[Expression] = []

    def compile(self, value: JSON, pointer: Pointer) -> Renderer | None:
        """Return the renderer of a part of the tree; None if that part is constant."""
        match value:
            case str() if "{{" in value:
                return self._compile_text(value, pointer)
            case dict():
                return _build_container(value, [(key, self.compile(value[key], (*pointer, key))) for key in value])
            case list():
                items = [(index, self.compile(item, (*pointer, index))) for index, item in enumerate(value)]
                return _build_container(value, items)
            case _:
                return None

    def _compile_text(self, text: str, pointer: Pointer) -> Renderer:
        parts = [self._compile_part(text, piece, pointer) for piece in split_text(text)]
        match parts:
            case _ if pointer in self._urls:
                self.targets += [target] if (target := find_target(parts)) else []
                return partial(_render_url, pointer, parts)
            case [Expression() as expression]:
                return expression.build_renderer()
            case _ if any(isinstance(part, SecretName) for part in parts):
                return partial(_render_secret_text, pointer, parts)
            case _:
                return partial(_render_text, text, parts)

    def _compile_part(self, text: str, piece: str | tuple[int, int], pointer: Pointer) -> Part:
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
    """Return the literal parts of a text, and the ranges of its expressions; raises `ExpressionError`."""
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
    except EvaluationError as error:
        raise make_error_at(text, start + (error.offset or 0), error.message, text[start:end].strip()) from None


# -- rendering --------------------------------------------------------------------------------------------------


def _build_container(
    container: dict[str, JSON] | list[JSON], items: Sequence[tuple[str | int, Renderer | None]]
) -> Renderer | None:
    """Return the renderer of a mapping or a list, which copies it and replaces the items that are not constant."""
    rendered = [(key, render) for key, render in items if render]
    if not rendered:
        return None

    def render_container(evaluation: Evaluation) -> JSON:
        made = container.copy()
        for key, render in rendered:
            made[key] = render(evaluation)  # type: ignore[index]  # the keys are those of the container
        return made

    return render_container


def _render_text(source: str, parts: Sequence[Part], evaluation: Evaluation) -> JSON:
    made: list[str] = []
    length = 0
    for part in parts:
        made.append(part.to_text(evaluation) if isinstance(part, Expression) else str(part))
        length += len(made[-1])
        _ensure_length(length, source)
    return "".join(made)


def _render_secret_text(pointer: Pointer, parts: Sequence[Part], evaluation: Evaluation) -> None:
    made: list[str | SecretName] = []
    for part in parts:
        done = part.to_text(evaluation) if isinstance(part, Expression) else part
        if made and isinstance(done, str) and isinstance(made[-1], str):
            made[-1] += done
        else:
            made.append(done)
    evaluation.placeholders.append(SecretPlaceholder(pointer, tuple(made)))


def _render_url(pointer: Pointer, parts: Sequence[Part], evaluation: Evaluation) -> JSON:
    match write_url(parts, evaluation):
        case [str(url)]:
            return url
        case made:
            evaluation.placeholders.append(SecretPlaceholder(pointer, tuple(made)))
            return None


def _ensure_length(length: int, source: str) -> None:
    try:
        ensure_length(length)
    except EvaluationError as error:
        raise make_error_at(source, 0, error.message, source) from None
