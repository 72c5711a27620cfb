"""What a check found: a line for each action and check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. `reason`: why it failed, or does not apply."""

    check: str
    verdict: Verdict
    action: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ConformanceReport:
    """The results for a connector. `left_out`: the number of actions that were not checked. `untested`: those that were
    checked only with sample inputs and answers, because the connector has no tests of them."""

    connector: str
    results: Sequence[CheckResult]
    left_out: int = 0
    untested: Sequence[str] = ()

    @property
    def is_passed(self) -> bool:
        return not any(each.verdict == "failed" for each in self.results)

    def count(self, verdict: Verdict) -> int:
        """The number of results with a verdict."""
        return sum(each.verdict == verdict for each in self.results)

    def explain_failures(self) -> str:
        """A line for each failed check."""
        return "\n".join(
            f"{each.action or self.connector}: {each.check}: {each.reason}"
            for each in self.results
            if each.verdict == "failed"
        )
