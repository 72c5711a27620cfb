"""The gates of connections: the queues of attempts that wait for a connection's limits, and descriptions for people.

An attempt passes its gate before it starts, together with taking its permit: while it waits, it holds nothing. Each
further request of an attempt passes the gate too, with the attempt's timeout suspended; those go first, because their
attempts hold permits. Among waiting attempts, the pipelines take turns; within a pipeline, the higher priority goes
first, then the order of arrival.

The state of gates is in memory, so a restart begins with full rates and closed breakers. With several nodes, each one
would allow the whole rate: meters, places and holds have to move to where all nodes see them, and a breaker may stay
with its node.
"""

import asyncio
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TypeAlias

from durable import metrics
from durable.action import Context
from durable.durations import describe_time
from durable.gate.gate import FailedAttempt, Gate, Obstacle, Passage
from durable.gate.meter import MILLISECOND, SECOND
from durable.history.entries import AttemptFailed, Fact
from durable.limit import Limit
from durable.reports import GateReport

FindLimit: TypeAlias = Callable[[str], Limit]
"""Finds the limit of a connection by its name."""

SHORTEST_WAIT = 0.001
"""Seconds; timers are not more exact."""

_Granted: TypeAlias = "asyncio.Future[None]"
_Request: TypeAlias = tuple[_Granted, Passage]


@dataclass(eq=False, slots=True)
class GateTurn:
    """The turn of an attempt at a gate. When it is `granted`, the attempt either enters, or declines the turn. `number`
    orders attempts by when they first had to wait."""

    gate: "ConnectionGate"
    pipeline: str
    priority: int
    number: int
    granted: _Granted

    def __str__(self) -> str:
        return self.gate.describe_turn(self)

    def decline(self) -> None:
        """Give the turn back: the attempt cannot enter now."""
        self.gate.decline()


@dataclass(eq=False, slots=True)
class GatePass:
    """An attempt that has entered. Its first request needs no turn of its own."""

    gate: "ConnectionGate"
    passage: Passage
    has_sent: bool = False

    async def pass_request(self, context: Context) -> None:
        """Wait until the next request of the attempt may be sent."""
        if self.has_sent:
            await self.gate.pass_request(self.passage, context)
        self.has_sent = True

    def note_sent(self) -> None:
        self.gate.note_sent()

    def note(self, fact: Fact) -> None:
        """Take note of how the attempt ended."""
        failed = None
        if isinstance(fact, AttemptFailed):
            error = fact.error
            failed = FailedAttempt(error.error_class, error.code, fact.ending, error.retry_after)
        self.gate.note(self.passage, failed)

    def leave(self) -> None:
        """Nothing of the attempt is running any more."""
        self.gate.leave(self.passage)


@dataclass(eq=False, slots=True)
class _GateLine:
    """The waiting attempts of one pipeline, by priority and in the order of their numbers."""

    turns: dict[int, list[GateTurn]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.turns.values()))

    def add(self, turn: GateTurn) -> None:
        insort(self.turns.setdefault(turn.priority, []), turn, key=_get_number)

    def remove(self, turn: GateTurn) -> bool:
        """Remove a turn; returns whether it was there."""
        turns = self.turns.get(turn.priority, [])
        place = bisect_left(turns, turn.number, key=_get_number)
        if place == len(turns) or turns[place] is not turn:
            return False
        del turns[place]
        if not turns:
            del self.turns[turn.priority]
        return True

    def find_first(self) -> GateTurn:
        return self.turns[max(self.turns)][0]

    def count_before(self, turn: GateTurn) -> int:
        higher = sum(len(turns) for priority, turns in self.turns.items() if priority > turn.priority)
        return higher + bisect_left(self.turns.get(turn.priority, []), turn.number, key=_get_number)


_get_number = attrgetter("number")


class ConnectionGate:
    """The gate of one connection. `label` names it in messages: `github (gh)`."""

    def __init__(self, label: str, limit: Limit, clock: Callable[[], int], now: Callable[[], int]) -> None:
        self.label = label
        self.state = Gate.make(limit)
        self._clock = clock
        self._now = now
        self._lines: dict[str, _GateLine] = {}
        """By pipeline; the first one is next."""
        self._requests: deque[_Request] = deque()
        """Further requests of attempts."""
        self._granted = 0
        """How many turns were granted, of attempts that have neither entered nor declined."""
        self._timer: asyncio.TimerHandle | None = None

    # -- attempts -----------------------------------------------------------------------------------------------

    def may_enter(self, turn: GateTurn | None) -> bool:
        """Whether an attempt with this turn may enter now; without one, it may not pass those that wait."""
        if turn:
            return self.state.find_obstacle(self._clock()) is None
        if self._lines or self._requests:
            return False
        return self.state.count_free(self._clock()) > self._granted

    def enter(self, run: str, turn: GateTurn | None) -> GatePass:
        """Enter, after `may_enter`."""
        if turn:
            self._granted -= 1
        passage = self.state.begin(run, self._clock())
        self._advance()  # the next one is due in a while, even if this attempt does not end
        return GatePass(self, passage)

    def make_turn(self, pipeline: str, priority: int, number: int) -> GateTurn:
        """Make a turn, for which to `wait`."""
        return GateTurn(self, pipeline, priority, number, asyncio.get_running_loop().create_future())

    async def wait(self, turn: GateTurn) -> None:
        """Wait until the turn is granted."""
        self._lines.setdefault(turn.pipeline, _GateLine()).add(turn)
        self._advance()
        try:
            await turn.granted
        except asyncio.CancelledError:
            if turn.granted.cancelled():
                self._remove(turn)
            else:  # it was granted at the same time
                self.decline()
            raise

    def decline(self) -> None:
        self._granted -= 1
        self._advance()

    def note_sent(self) -> None:
        self.state.note_sent(self._clock())

    def note(self, passage: Passage, failed: FailedAttempt | None) -> None:
        self.state.note(passage, failed, self._clock())
        self._advance()

    def leave(self, passage: Passage) -> None:
        self.state.end(passage, self._clock())
        self._advance()

    async def pass_request(self, passage: Passage, context: Context) -> None:
        """Wait until a further request of an attempt may be sent, with its timeout suspended."""
        now = self._clock()
        obstacle = self.state.find_obstacle(now, passage)
        if obstacle is None and (passage.is_probe or not self._requests):
            self.state.begin_request(passage, now)
            return
        entry: _Request = (asyncio.get_running_loop().create_future(), passage)
        if passage.is_probe:  # the others may be waiting for its end
            self._requests.appendleft(entry)
        else:
            self._requests.append(entry)
        try:
            self._advance()
            with context.waiting(self._describe(obstacle)):
                await entry[0]
        finally:
            if entry in self._requests:
                self._requests.remove(entry)
                self._advance()

    def change_limit(self, limit: Limit) -> None:
        """Apply another limit."""
        self.state.change_limit(limit, self._clock())
        self._advance()

    def _advance(self) -> None:
        """Grant the turns that are due, and come back when the next one will be."""
        if not self._lines and not self._requests:
            return
        now = self._clock()
        while self._requests:
            granted, passage = self._requests[0]
            if not granted.done():
                if obstacle := self.state.find_obstacle(now, passage):
                    self._return_at(obstacle, now)
                    return
                self.state.begin_request(passage, now)
                granted.set_result(None)
            self._requests.popleft()
        free = self.state.count_free(now) - self._granted if self._lines else 0
        while self._lines and free > 0:
            turn = next(iter(self._lines.values())).find_first()
            self._remove(turn)
            if not turn.granted.done():
                turn.granted.set_result(None)
                self._granted += 1
                free -= 1
        if self._lines and (obstacle := self.state.find_obstacle(now)):
            self._return_at(obstacle, now)

    def _remove(self, turn: GateTurn) -> None:
        """Remove a turn from its line, if it is there. The line goes behind those of the other pipelines."""
        line = self._lines.get(turn.pipeline)
        if line and line.remove(turn):
            del self._lines[turn.pipeline]
            if line.turns:
                self._lines[turn.pipeline] = line

    def _return_at(self, obstacle: Obstacle, now: int) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if obstacle.until is not None:
            seconds = max(SHORTEST_WAIT, (obstacle.until - now) / SECOND)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._advance)

    # -- for people ---------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many attempts and requests wait."""
        return sum(map(len, self._lines.values())) + len(self._requests)

    def count_waiting(self, pipeline: str, priority: int | None) -> int:
        """Return the number of a pipeline's attempts that wait, with at least this priority."""
        line = self._lines.get(pipeline)
        if line is None:
            return 0
        return sum(len(turns) for each, turns in line.turns.items() if priority is None or each >= priority)

    def describe_turn(self, turn: GateTurn) -> str:
        """Describe what an attempt waits for."""
        what = self._describe(self.state.find_obstacle(self._clock()))
        line = self._lines.get(turn.pipeline)
        if line is None:
            return what
        before = line.count_before(turn)
        others = sum(min(len(other), before + 1) for other in self._lines.values() if other is not line)
        count = len(self._requests) + before + others
        return f"{what}, {count} before it" if count else what

    def _describe(self, obstacle: Obstacle | None) -> str:
        if obstacle and (reason := self._explain(obstacle)):
            return f"its turn at {self.label}: {reason}"
        limit = ", ".join(self.state.limit.describe())
        return f"its turn at {self.label}" + (f": {limit}" if limit else "")

    def _explain(self, obstacle: Obstacle) -> str | None:
        """Explain what holds attempts back other than a limit."""
        breaker = self.state.breaker
        match obstacle.kind:
            case "hold":
                why = f"answered {self.state.hold_code}" if self.state.hold_code else "asked for it"
                until = self._describe_time(self.state.held_until)
                return f"it is held back until {until} because the service {why}"
            case "circuit" if breaker.state == "open":
                times = f"since {self._describe_time(breaker.since)}, next probe at"
                return f"the service is failing: circuit open {times} {self._describe_time(breaker.probe_at)}"
            case "circuit":
                since = self._describe_time(breaker.since)
                return f"the service is failing: circuit open since {since}, a probe is in progress"
        return None

    def _describe_time(self, at: int) -> str:
        return describe_time(self._to_wall_clock(at), self._now())

    def _to_wall_clock(self, at: int) -> int:
        return self._now() + (at - self._clock()) // MILLISECOND

    def report(self) -> GateReport:
        """Report the state of the gate."""
        state, breaker = self.state, self.state.breaker
        now = self._clock()
        report = GateReport("ready", state.in_flight, self.waiting, tuple(state.limit.describe()))
        if breaker.state != "closed":
            return replace(
                report,
                state="circuit_open",
                since=self._to_wall_clock(breaker.since),
                until=self._to_wall_clock(breaker.probe_at) if breaker.state == "open" else None,
                reason=self._explain(Obstacle("circuit")),
            )
        if now < state.held_until:
            return replace(
                report,
                state="held_back",
                since=self._to_wall_clock(state.held_since),
                until=self._to_wall_clock(state.held_until),
                reason=self._explain(Obstacle("hold")),
            )
        return report


class ConnectionGates:
    """The gates of all connections that were used, by name. `now` returns wall-clock milliseconds, `clock` monotonic
    nanoseconds."""

    def __init__(self, now: Callable[[], int], clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.by_name: dict[str, ConnectionGate] = {}
        self._now = now
        self._clock = clock
        self._number = 0
        metrics.CONNECTION_WAITING.read = self._count_waiting
        metrics.CONNECTION_HELD_BACK.read = self._list_held_back

    def find(self, name: str, use: str, find_limit: FindLimit) -> ConnectionGate:
        """Return the gate of a connection; `use` is the action that needs it."""
        label = f"{use.partition('.')[0]} ({name})"
        gate = self.by_name.get(name)
        if gate is None or gate.label != label:
            gate = self.by_name[name] = ConnectionGate(label, find_limit(name), self._clock, self._now)
        return gate

    def take_number(self) -> int:
        """Return the next number for a turn."""
        self._number += 1
        return self._number

    def apply_limits(self, find_limit: FindLimit) -> None:
        """Apply limits that may have changed, also to the attempts that wait."""
        for name, gate in self.by_name.items():
            if (limit := find_limit(name)) != gate.state.limit:
                gate.change_limit(limit)

    def count_waiting(self, pipeline: str, priority: int | None = None) -> int:
        """Return the number of a pipeline's attempts that wait at any gate, with at least this priority."""
        return sum(gate.count_waiting(pipeline, priority) for gate in self.by_name.values())

    def report(self, name: str) -> GateReport | None:
        """Report the state of a connection's gate; None if the connection was not used yet."""
        gate = self.by_name.get(name)
        return gate.report() if gate else None

    def _count_waiting(self) -> Mapping[tuple[str, ...], float]:
        return {(name,): gate.waiting for name, gate in list(self.by_name.items())}

    def _list_held_back(self) -> Mapping[tuple[str, ...], float]:
        states = {name: gate.report().state for name, gate in list(self.by_name.items())}
        return {
            (name, reason): float(state == reason)
            for name, state in states.items()
            for reason in ("held_back", "circuit_open")
        }
