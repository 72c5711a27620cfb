"""Files of mistakes: texts with the problems that are expected in them, each below the line that it is about."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from durable.problem import Problem


@dataclass(frozen=True)
class Mistake:
    """A text and the expected problems: line, column, and message with hint."""

    text: str
    said: tuple[tuple[int, int, str], ...]

    @classmethod
    def read(cls, block: str, complete: Callable[[str], str]) -> "Mistake":
        """Parse a block: a line with a caret states the problem of the line above it. `complete` makes it a file."""
        source: list[str] = []
        said: list[tuple[int, int, str]] = []
        for line in block.strip("\n").split("\n"):
            caret = re.fullmatch(r"( *)\^ (.*)", line)
            if caret:
                said.append((len(source), len(caret[1]) + 1, caret[2]))
            else:
                source.append(line)
        return cls(complete("\n".join(source) + "\n"), tuple(said))


def read_mistakes(file: Path, complete: Callable[[str], str]) -> list[Mistake]:
    """Read a file of blocks with empty lines between them."""
    return [Mistake.read(block, complete) for block in file.read_text("utf-8").split("\n\n")]


def list_said(problems: Sequence[Problem]) -> tuple[tuple[int, int, str], ...]:
    """The problems in the form of `Mistake.said`."""
    return tuple((each.line, each.column, "; ".join(filter(None, [each.message, each.hint]))) for each in problems)
