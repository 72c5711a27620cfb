"""The problems of one document, gathered by where they are in its data."""

from durable.document import LIMITS, Document, Place, Pointer
from durable.problem import Problem, Severity


class Findings:
    """What was found in a document. What stands where YAML itself was refused is not told, nor a key's second fault."""

    def __init__(self, document: Document, limit: int = LIMITS.problems) -> None:
        self.document = document
        self._limit = limit
        self._refused = {(problem.line, problem.column) for problem in document.problems}
        self._keys: set[Place] = set()
        self._found: dict[Problem, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether there are so many that nobody reads more."""
        return len(self._found) >= self._limit

    def add(
        self,
        pointer: Pointer,
        message: str,
        hint: str | None = None,
        *,
        is_key: bool = False,
        place: Place | None = None,
        severity: Severity = "error",
    ) -> None:
        """Add a problem with the value at the pointer, with its key, or with an exact place inside it."""
        line, column = self.document.position(pointer, key=is_key)
        if self.is_full or (line, column) in self._refused or (is_key and (line, column) in self._keys):
            return
        if is_key:
            self._keys.add((line, column))
        line, column = place or (line, column)
        self._found[Problem(self.document.file, line, column, message, hint, severity)] = None

    def problems(self) -> tuple[Problem, ...]:
        """All of them in the order of the text."""
        found = {**dict.fromkeys(self.document.problems), **self._found}
        return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))
