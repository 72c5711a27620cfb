"""A circuit breaker as a state machine.

    closed ──▶ open            after FAILURES consecutive failures, of at least RUNS runs
    open ──▶ half_open         a probe starts, at the earliest at `probe_at`
    half_open ──▶ closed       the probe is answered
    half_open ──▶ open         the probe fails: for twice as long, at most for LONGEST_OPEN

A failure is one of the service: it did not answer, or it answered that it cannot process requests. The failures of a
single run do not open the breaker; otherwise, one request that the service cannot process would hold back all others.
While the breaker is not closed, only probes count, because attempts that began before it opened show nothing new.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from durable.gate.meter import SECOND

FAILURES = 10
"""The number of consecutive failures that opens the breaker."""

RUNS = 3
"""The minimum number of runs in which these failures occur."""

LONGEST_GAP = 300 * SECOND
"""Failures that are further apart are not consecutive."""

FIRST_OPEN = 5 * SECOND
LONGEST_OPEN = 300 * SECOND
"""How long the breaker stays open, at first and at most. After the longer time, another probe may start even if the
previous one has not ended."""

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
Judgement: TypeAlias = Literal["works", "fails", "unknown"]
"""What an attempt shows about the service."""


@dataclass(slots=True)
class Breaker:
    """The state of a breaker. `since` is when it opened, and `probe_at` when the next probe may start."""

    state: BreakerState = "closed"
    since: int = 0
    probe_at: int = 0
    _span: int = FIRST_OPEN
    _failures: int = 0
    _failed_at: int = 0
    _runs: set[str] = field(default_factory=set)

    def admits(self, now: int) -> bool:
        """Whether an attempt may start; if the breaker is not closed, as a probe."""
        return self.state == "closed" or now >= self.probe_at

    def begin_probe(self, now: int) -> None:
        """Start an attempt as a probe, because the breaker is not closed."""
        self.state, self.probe_at = "half_open", now + LONGEST_OPEN

    def note(self, judgement: Judgement, run: str, now: int, *, is_probe: bool) -> None:
        """Record the end of an attempt."""
        if self.state == "closed":
            self._count(judgement, run, now)
        elif is_probe:
            self._end_probe(judgement, now)

    def _count(self, judgement: Judgement, run: str, now: int) -> None:
        if judgement == "works" or (judgement == "fails" and now - self._failed_at > LONGEST_GAP):
            self._failures = 0
            self._runs.clear()
        if judgement != "fails":
            return
        self._failures, self._failed_at = self._failures + 1, now
        if len(self._runs) < RUNS:
            self._runs.add(run)
        if self._failures >= FAILURES and len(self._runs) >= RUNS:
            self.state, self.since, self._span = "open", now, FIRST_OPEN
            self.probe_at = now + self._span

    def _end_probe(self, judgement: Judgement, now: int) -> None:
        match judgement:
            case "works":
                self.state, self._failures = "closed", 0
                self._runs.clear()
            case "fails":
                self.state, self._span = "open", min(2 * self._span, LONGEST_OPEN)
                self.probe_at = now + self._span
            case "unknown" if self.state == "half_open":
                self.state, self.probe_at = "open", now
