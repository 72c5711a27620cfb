"""The state of a connection's gate: its limits, what the service asked for, and a circuit breaker.

The gate decides when an attempt may start, and when an attempt may send a further request. Its caller reports how
attempts end.
"""

import sys
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from durable.action import Ending, ErrorClass
from durable.gate.breaker import Breaker, Judgement
from durable.gate.meter import MILLISECOND, SECOND, Meter
from durable.limit import Limit
from durable.retry import RETRY_AFTER_LIMIT

FIRST_HOLD = SECOND
LONGEST_HOLD = 60 * SECOND
"""How long a connection is held back after a refusal that does not say for how long: twice as long after each."""

_FAILING: frozenset[ErrorClass] = frozenset({"network", "timeout", "server"})
_UNLIMITED = sys.maxsize


ObstacleKind: TypeAlias = Literal["rate", "at_once", "hold", "circuit"]


class Obstacle(NamedTuple):
    """Why no attempt may start. `until` is when to look again; with `at_once`, that is when an attempt ends."""

    kind: ObstacleKind
    until: int | None = None


class FailedAttempt(NamedTuple):
    """What is known about a failed attempt. `retry_after` is in milliseconds."""

    error_class: ErrorClass | None
    code: str | None
    ending: Ending
    retry_after: int | None

    @property
    def judgement(self) -> Judgement:
        """What it shows about the service."""
        if self.error_class in _FAILING:
            return "fails"
        return "works" if self.ending == "answered" else "unknown"

    @property
    def asks_for_time(self) -> bool:
        """Whether the service wants fewer requests."""
        return self.error_class == "rate_limit" or (self.error_class == "server" and bool(self.retry_after))


@dataclass(eq=False, slots=True)
class Passage:
    """An attempt that has passed the gate and has not ended."""

    run: str
    started_at: int
    is_probe: bool = False
    is_judged: bool = False


@dataclass(slots=True)
class Gate:
    """The state of a gate.

    `in_flight`: how many attempts have passed and have not ended.
    `held_since`, `held_until`, `hold_code`: the last time for which the service asked, and the code of its answer.
    """

    limit: Limit
    meters: tuple[Meter, ...] = ()
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    held_since: int = 0
    held_until: int = 0
    hold_code: str | None = None
    _refusals: int = 0

    @classmethod
    def make(cls, limit: Limit) -> "Gate":
        return cls(limit, tuple(Meter(rate) for rate in limit.rate))

    def change_limit(self, limit: Limit, now: int) -> None:
        """Apply another limit. A new rate begins without a burst, since requests of the last period are not known."""
        known = {meter.rate: meter for meter in self.meters}
        meters = []
        for rate in limit.rate:
            meter = known.get(rate)
            if meter is None:
                meter = Meter(rate)
                meter.exhaust(now)
            meters.append(meter)
        self.limit, self.meters = limit, tuple(meters)
        if limit.breaker == "off":
            self.breaker = Breaker()

    def find_obstacle(self, now: int, passage: Passage | None = None) -> Obstacle | None:
        """Return why no attempt may start now, or why no further request of the attempt with this passage may."""
        is_probe = passage is not None and passage.is_probe
        if not is_probe and not self.breaker.admits(now):
            return Obstacle("circuit", self.breaker.probe_at)
        if now < self.held_until:
            return Obstacle("hold", self.held_until)
        if passage is None and self.limit.at_once is not None and self.in_flight >= self.limit.at_once:
            return Obstacle("at_once")
        free_at = max((meter.free_at for meter in self.meters), default=now)
        return Obstacle("rate", free_at) if free_at > now else None

    def count_free(self, now: int) -> int:
        """Return how many attempts may start now."""
        if self.find_obstacle(now):
            return 0
        if self.breaker.state != "closed":
            return 1
        at_once = _UNLIMITED if self.limit.at_once is None else self.limit.at_once - self.in_flight
        return min((at_once, *(meter.count_free(now) for meter in self.meters)))

    def begin(self, run: str, now: int) -> Passage:
        """Let an attempt of a run pass."""
        passage = Passage(run, now)
        self.in_flight += 1
        self.begin_request(passage, now)
        return passage

    def begin_request(self, passage: Passage, now: int) -> None:
        """Let a request of an attempt pass; while the breaker is not closed, it makes the attempt a probe."""
        if self.breaker.state != "closed" and not passage.is_probe:
            passage.is_probe = True
            self.breaker.begin_probe(now)
        for meter in self.meters:
            meter.take(now)

    def note_sent(self, now: int) -> None:
        """Record that a request is being sent."""
        for meter in self.meters:
            meter.note_sent(now)

    def note(self, passage: Passage, failed: FailedAttempt | None, now: int) -> None:
        """Record how an attempt ended. Without `failed`, it was successful."""
        judgement: Judgement = failed.judgement if failed else "works"
        passage.is_judged = True
        if self.limit.breaker == "on":
            self.breaker.note(judgement, passage.run, now, is_probe=passage.is_probe)
        if failed and failed.asks_for_time:
            self._hold(passage, failed, now)
        elif judgement == "works":
            self._refusals = 0

    def end(self, passage: Passage, now: int) -> None:
        """Record that an attempt has ended, and that no part of it is running any more."""
        self.in_flight -= 1
        if not passage.is_judged and self.limit.breaker == "on":
            self.breaker.note("unknown", passage.run, now, is_probe=passage.is_probe)

    def _hold(self, passage: Passage, failed: FailedAttempt, now: int) -> None:
        """Hold attempts back for as long as the service asks; of several times, the latest counts."""
        if failed.retry_after:
            span = min(failed.retry_after, RETRY_AFTER_LIMIT) * MILLISECOND
        elif passage.started_at < self.held_since:
            return  # its request was sent before the present hold, which it would prolong
        else:
            span = min(FIRST_HOLD << min(self._refusals, 16), LONGEST_HOLD)
            self._refusals += 1
        if now + span <= self.held_until:
            return
        if now >= self.held_until:
            self.held_since = now
        self.held_until, self.hold_code = now + span, failed.code
