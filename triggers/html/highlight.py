"""Source text with highlighting, as elements with the classes that the style sheet has colours for."""

from functools import cache
from typing import Literal, TypeAlias

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name

Language: TypeAlias = Literal["json", "yaml", "http", "bash"]

VALUE_LIMIT = 10_000
FILE_LIMIT = 50_000
"""The characters from which a text is shown without colours: a value, and a file. A lexer takes about a second for a
megabyte, and a list of numbers becomes 12 times longer."""


def highlight_code(text: str, language: Language, limit: int = VALUE_LIMIT) -> Markup:
    """Text as markup, line for line; a long one is only escaped."""
    if len(text) > limit:
        return Markup.escape(text)
    return Markup(highlight(text, _find_lexer(language), _FORMATTER).rstrip("\n"))  # Pygments escapes


def highlight_lines(text: str, language: Language) -> list[Markup]:
    """Text as markup of single lines. No token spans two lines: Pygments ends it with each."""
    return [Markup(line) for line in highlight_code(text, language, FILE_LIMIT).split("\n")]


@cache
def _find_lexer(language: Language) -> Lexer:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True, classprefix="tok-")
