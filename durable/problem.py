"""What is wrong with a file, where, and what cures it."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning"]

_WORD_LIMIT = 60
_LINE_LIMIT = 120
_LISTED = 12
_USER = re.compile(r"""(?<=://)(?:\{\{.*?\}\}|[^\s/?"'{}])+(?=@)""")
"""The user and password in a URL."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` and `column` count from 1; `hint` says what to do about it."""

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        what = f"{self.message}; {self.hint}" if self.hint else self.message
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {what}"

    def render(self, source_line: str) -> str:
        """The problem as people read it: what and where, the line in question, and a caret under the place; a
        line that is empty shows nothing, and what could be a password is masked, since logs show the line too."""
        if not source_line.strip():
            return str(self)
        start = max(0, self.column - _LINE_LIMIT) if len(source_line) > _LINE_LIMIT else 0
        masked = _USER.sub(lambda user: "*" * len(user[0]), source_line)
        shown = masked[start : start + _LINE_LIMIT]
        indent = "".join("\t" if character == "\t" else " " for character in shown[: self.column - 1 - start])
        return f"{self}\n    {make_printable(shown)}\n    {indent}^"


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    if len(word) > _WORD_LIMIT:
        return None
    by_shape = {name.lower().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), by_shape, n=1, cutoff=0.6)
    return by_shape[found[0]] if found else None


def suggest(word: str, known: Iterable[str]) -> str | None:
    """A hint for a word that is not known: the one probably meant, or all there are if they are few."""
    names = sorted(known)
    meant = find_nearest(word, names)
    if meant:
        return f"did you mean {quote(meant)}"
    return f"known: {', '.join(names)}" if 0 < len(names) <= _LISTED else None


def quote(text: str) -> str:
    """Somebody's text inside a message: in quotes, on one line, shortened."""
    shown = text if len(text) <= _WORD_LIMIT else f"{text[: _WORD_LIMIT - 1]}…"
    return f"'{make_printable(shown)}'"


def make_printable(text: str) -> str:
    """Text without what a terminal would obey."""
    return "".join(character if character.isprintable() or character == "\t" else "·" for character in text)
