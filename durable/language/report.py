"""The report on a document: its problems, with their positions."""

from collections.abc import Iterable

from durable.problem import DataProblem, LineColumn, Pointer, Problem, Severity
from durable.yaml.document import LIMITS, YamlDocument


class Report:
    """Collects the problems of a document. Ignores positions that the YAML parser rejected, and further problems of the
    same key."""

    def __init__(self, document: YamlDocument, limit: int = LIMITS.problems) -> None:
        self.document = document
        self._limit = limit
        self._refused = {(problem.line, problem.column) for problem in document.problems}
        self._keys: set[LineColumn] = set()
        self._found: dict[Problem, None] = {}
        self._errors = 0

    @property
    def is_full(self) -> bool:
        """Whether the limit of errors is reached; warnings do not count."""
        return self._errors >= self._limit

    def add(
        self,
        pointer: Pointer,
        message: str,
        hint: str | None = None,
        *,
        is_key: bool = False,
        place: LineColumn | None = None,
        severity: Severity = "error",
    ) -> None:
        """Add a problem of the value at the pointer, of its key, or of an exact place inside it."""
        found = self.document.position(pointer, key=is_key)
        if self.is_full or found in self._refused or (is_key and found in self._keys):
            return
        problem = Problem(self.document.source.file, *(place or found), message, hint, severity)
        if severity == "warning" and len(self._found) - self._errors >= self._limit:
            return
        if severity == "error" and problem not in self._found:
            self._errors += 1
            self._keys.update({found} if is_key else ())
        self._found[problem] = None

    def add_all(self, problems: Iterable[DataProblem], at: Pointer = ()) -> None:
        """Add problems of the data at a pointer."""
        for each in problems:
            self.add((*at, *each.pointer), each.message, each.hint, is_key=each.is_key, severity=each.severity)

    def problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the text."""
        found = {**dict.fromkeys(self.document.problems), **self._found}
        return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))
