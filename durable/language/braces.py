"""Warns about texts that look like expressions but are not: missing braces, and templates of other languages."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from durable.expressions.expression import ExpressionError
from durable.expressions.template import split_text
from durable.wording import quote

_STATEMENTS = {
    "if": "write '{{ a if condition else b }}', or give the step an 'if'",
    "for": "filters such as '|map' and '|join' work on lists, and 'foreach' is a step",
}
_NO_STATEMENTS = "write expressions as '{{ … }}'; statements are not supported"


@dataclass(frozen=True, slots=True)
class LiteralText:
    """A part of a text outside of expressions, and its offset."""

    text: str
    start: int


def is_whole_expression(text: str) -> bool:
    """Whether a text is exactly one expression; its value then keeps its type."""
    try:
        return [type(piece) for piece in split_text(text)] == [tuple]
    except ExpressionError:
        return False


def doubt_braces(text: str, roots: Collection[str]) -> tuple[int, str, str] | None:
    """Return the first place in a text where an expression was probably meant, with what is wrong and what to do.
    `roots` are the names that can be read there."""
    if not any(sign in text for sign in "{}[(%"):
        return None
    literals = list(_literals(text))
    for literal in literals:
        if found := _doubt(literal, frozenset({*roots, "secrets"})):
            return found
    return _doubt_closing(text, literals)


def _literals(text: str) -> Iterator[LiteralText]:
    start = 0
    for piece in split_text(text):
        if isinstance(piece, str):
            yield LiteralText(piece, start)
            start += len(piece)
        else:
            start = piece[1] + 2


def _doubt(literal: LiteralText, roots: frozenset[str]) -> tuple[int, str, str] | None:
    if statement := _STATEMENT.search(literal.text):
        hint = _STATEMENTS.get(statement[1], _NO_STATEMENTS)
        return literal.start + statement.start(), f"{quote(statement[0])} is text here", hint
    if comment := _COMMENT.search(literal.text):
        return literal.start + comment.start(), "'{#' is text here", "write comments outside the text, after '#'"
    if opening := _opening(roots).search(literal.text):
        hint = f"write an expression in two braces: '{{{{ {opening[2][:40]} }}}}'"
        return literal.start + opening.start(), f"{quote(opening[0])} is text here", hint
    return None


def _doubt_closing(text: str, literals: list[LiteralText]) -> tuple[int, str, str] | None:
    """Find closing braces without opening ones. A text with other braces, such as JSON, is accepted."""
    if "}}" not in text or any("{" in literal.text for literal in literals):
        return None
    for literal in literals:
        if (place := literal.text.find("}")) >= 0:
            braces = literal.text[place : place + 2].rstrip()
            hint = "an expression begins with '{{'" if "{{" not in text else "remove it, unless it is intended"
            return literal.start + place, f"{quote(braces)} is text here: nothing opens it", hint
    return None


@lru_cache(maxsize=256)
def _opening(roots: frozenset[str]) -> re.Pattern[str]:
    """Match the beginning of an expression in another language, followed by a name that can be read here."""
    names = "|".join(sorted(map(re.escape, roots)))
    return re.compile(rf"(\{{\s+\{{|[$#%@]?\{{|<%=?|\[\[|\$\()\s*((?:{names})(?:\.\w+|\[[^\]]*\])+)\s*[}}\])%>]*")


_STATEMENT = re.compile(
    r"\{%-?\s*(if|elif|else|elsif|endif|for|endfor|set|include|macro|block|raw|with|call|filter|unless|case|assign)\b"
)
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
