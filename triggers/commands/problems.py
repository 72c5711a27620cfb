"""Problems of pipeline files: for people, for editors, and as annotations where GitHub checks a change.

A secret that is not set is reported as "not set in this shell", since the service may have it.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.text import Text

from durable.problem import Problem
from durable.values import JSON
from durable.wording import make_printable
from triggers.commands.output import STATUS_STYLES

_UNSET = re.compile(r"the secret '[^']*' is not set")


class CheckedFile(Protocol):
    """A file that was checked."""

    @property
    def problems(self) -> Sequence[Problem]: ...

    @property
    def is_valid(self) -> bool: ...

    def line(self, number: int) -> str: ...


def print_problems(files: Iterable[CheckedFile], out: Console, *, is_in_shell: bool = True) -> None:
    """Print every problem with its line. Without `is_in_shell` the problems are those of the service itself."""
    for file in files:
        for problem in file.problems:
            shown = reword_for_shell(problem) if is_in_shell else problem
            out.print(_format_problem(shown, file.line(problem.line)), soft_wrap=True)


def reword_for_shell(problem: Problem) -> Problem:
    """The problem, worded for a command, whose environment may differ from the service's."""
    if not _UNSET.fullmatch(problem.message):
        return problem
    return replace(problem, message=f"{problem.message} in this shell")


def _format_problem(problem: Problem, line: str) -> Text:
    head, *source = problem.render(line).split("\n")
    place = f"{problem.file}:{problem.line}:{problem.column}"
    tone = STATUS_STYLES[problem.severity]
    text = Text(make_printable(head))
    text.stylize("bold", 0, len(place))
    text.highlight_words([f" {problem.severity}: "], f"bold {tone}")
    for number, each in enumerate(source):
        text.append(f"\n{each}", tone if number == len(source) - 1 else "")
    return text


def to_json(files: Iterable[CheckedFile]) -> list[JSON]:
    """Every problem as a mapping."""
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "severity": problem.severity,
            "message": problem.message,
            "hint": problem.hint,
        }
        for file in files
        for problem in map(reword_for_shell, file.problems)
    ]


def to_annotations(files: Iterable[CheckedFile], environment: Mapping[str, str]) -> list[str]:
    """Every problem as a workflow command of GitHub Actions, which shows it beside the line in a change.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    root = Path(environment.get("GITHUB_WORKSPACE") or ".").resolve()
    return [_to_annotation(reword_for_shell(problem), root) for file in files for problem in file.problems]


def _to_annotation(problem: Problem, root: Path) -> str:
    path = Path(problem.file).resolve()
    file = path.relative_to(root).as_posix() if path.is_relative_to(root) else problem.file
    message = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    place = f"file={_escape_property(file)},line={problem.line},col={problem.column}"
    return f"::{problem.severity} {place}::{_escape_data(message)}"


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")


def is_github_action() -> bool:
    """Whether this is a job of GitHub Actions, which reads annotations from the output."""
    return os.environ.get("GITHUB_ACTIONS") == "true"
