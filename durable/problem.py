"""Problems of files: what is wrong, where, and what to do about it."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from durable.wording import make_printable

Severity: TypeAlias = Literal["error", "warning"]
LineColumn: TypeAlias = tuple[int, int]
"""Line and column, both counted from 1."""

Pointer: TypeAlias = tuple[str | int, ...]
"""The keys and indexes that lead to a value in data."""

_LINE_LIMIT = 120
_USER = re.compile(r"""(?<=://)(?:\{\{.*?\}\}|[^\s/?"'{}])+(?=@)""")
"""The user and password in a URL."""


class Explanation(NamedTuple):
    """What is wrong and what to do about it, without a position."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class DataProblem:
    """A problem at a pointer in data. `is_key`: the key at the pointer is wrong, not its value."""

    pointer: Pointer
    message: str
    hint: str | None = None
    is_key: bool = False
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem at a position in a file. `line` and `column` count from 1; `hint` says what to do about it."""

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
        """Format the problem for people: the message, the line, and a caret under the position. An empty line is not
        shown. Anything that may be a password in a URL is masked, because logs also show the line."""
        if not source_line.strip():
            return str(self)
        start = max(0, self.column - _LINE_LIMIT) if len(source_line) > _LINE_LIMIT else 0
        shown = mask_passwords(source_line)[start : start + _LINE_LIMIT]
        indent = "".join("\t" if character == "\t" else " " for character in shown[: self.column - 1 - start])
        return f"{self}\n    {make_printable(shown)}\n    {indent}^"


def mask_passwords(text: str) -> str:
    """Replace what may be a user with a password in a URL by as many asterisks."""
    return _USER.sub(lambda user: "*" * len(user[0]), text)
