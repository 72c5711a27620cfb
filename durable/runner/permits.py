"""Permits for attempts: limits how many run concurrently, shared fairly among pipelines and targets.

A permit is taken together with a connection to its target (`Action.target`), so that no attempt holds one while it
waits for the other. Among waiting attempts, the pipeline with the fewest permits goes first; within a pipeline the
higher priority, then each target in turn, then the order of arrival. An attempt that cannot start delays no other.

A pipeline may hold `GREED` times as many permits as it leaves free (the dynamic threshold of Choudhury and Hahne,
1998): one that floods the service leaves an eighth of the permits, two of them leave a fifteenth. The last sixteenth is
reserved for pipelines that hold none, so that they find a permit even if dozens flood the service. The same rule
applies to the attempts at one target. The cost of taking and returning a permit does not depend on the number of
waiters.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from durable.action import TARGET_LIMIT
from durable.reports import PermitReport, PermitShare

GREED = 7

SHOWN_SHARES = 50
"""The number of shares that a report has."""

IDLE_LINES = 1_024
"""The number of empty lines that are kept, because creating one costs more than taking a permit."""

_Turn: TypeAlias = "asyncio.Future[None]"
_Place = TypeVar("_Place")
_Thing = TypeVar("_Thing")


def count_takeable(held: int, free: int) -> int:
    """Return how many of the `free` permits a holder of `held` may take, so that some are left for others."""
    return min(free, max(0, -((held - GREED * free) // (GREED + 1))))


def may_take(held: int, free: int, number: int) -> bool:
    """Whether a pipeline that holds `held` of `number` permits may take one of the `free`; the last ones are for
    others. If `number` is less than four, it may take all."""
    return free > 0 and held < GREED * free and (not held or number < 4 or free > max(1, number // 16))


@dataclass(eq=False, slots=True)
class _Target:
    """A target, which admits `limit` concurrent attempts. `blocked` are the lines that wait for one of them to end."""

    limit: int
    held: int = 0
    blocked: "dict[PermitLine, None]" = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Share:
    """A pipeline's permits, the number of its waiting attempts, and its lines that no target blocks; the latter by
    priority."""

    held: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    ready: "dict[int, dict[PermitLine, None]]" = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class PermitLine:
    """The queue of one pipeline's attempts at one target: `held` have a permit, the others wait, by priority. An
    attempt returns its permit to its line."""

    pipeline: str
    to: str | None
    share: _Share
    target: _Target
    held: int = 0
    waiting: dict[int, dict[_Turn, None]] = field(default_factory=dict)
    rank: int | None = None
    """The priority with which the line is ready; None if it is blocked or empty."""

    @property
    def has_room(self) -> bool:
        """Whether the target admits another attempt of this pipeline."""
        return may_take(self.held, self.target.limit - self.target.held, self.target.limit)


class AttemptPermits:
    """Issues `number` permits, at most `target_limit` of them for one target; used from a single event loop."""

    def __init__(self, number: int, target_limit: int = TARGET_LIMIT) -> None:
        self._number = number
        self._target_limit = min(target_limit, number - number // 8)
        self._free = number
        self._shares: dict[str, _Share] = {}
        self._targets: dict[str | None, _Target] = {}
        self._lines: dict[tuple[str, str | None], PermitLine] = {}
        self._most_lines = IDLE_LINES
        self._ready: dict[
            int, dict[_Share, None]
        ] = {}  # the pipelines that have a ready line, by the number of permits that they hold

    def take_now(self, pipeline: str, to: str | None) -> PermitLine | None:
        """Take a permit for this pipeline and target if one is free now; otherwise None."""
        line = self._lines.get((pipeline, to)) or self._add_line(pipeline, to)
        target = line.target
        is_free = may_take(line.share.held, self._free, self._number)
        if is_free and may_take(line.held, target.limit - target.held, target.limit):
            self._count(line, 1)
            return line
        return None

    async def take(self, pipeline: str, to: str | None, priority: int) -> PermitLine:
        """Wait for a permit and take it."""
        if line := self.take_now(pipeline, to):
            return line
        line = self._lines[pipeline, to]
        turn: _Turn = asyncio.get_running_loop().create_future()
        line.waiting.setdefault(priority, {})[turn] = None
        line.share.waiting[priority] = line.share.waiting.get(priority, 0) + 1
        self._place(line)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it got the permit at the same time as it was cancelled
                self.give(line)
            elif turn in line.waiting.get(priority, ()):
                self._leave(line, priority, turn)
            raise
        return line

    def exchange(self, line: PermitLine, to: str | None) -> PermitLine | None:
        """Exchange the permit for one at another target. If that has no room now, return the permit; the result is
        None."""
        if line.to == to:
            return line
        other = self._lines.get((line.pipeline, to)) or self._add_line(line.pipeline, to)
        if not other.has_room:
            self.give(line)
            return None
        self._count(line, -1)
        self._count(other, 1)
        self._unblock(line.target)
        self._grant()
        return other

    def give(self, line: PermitLine) -> None:
        """Return a permit; it passes to the next attempt that may take it."""
        self._count(line, -1)
        if line.target.blocked:
            self._unblock(line.target)
        if self._ready:
            self._grant()

    def count_all_waiting(self) -> int:
        """Return the number of attempts that wait for a permit."""
        return sum(sum(share.waiting.values()) for share in self._shares.values())

    def count_waiting(self, pipeline: str, priority: int | None = None) -> int:
        """Return the number of a pipeline's attempts that wait for a permit with at least this priority."""
        share = self._shares.get(pipeline)
        if share is None or not share.waiting:
            return 0
        return sum(count for each, count in share.waiting.items() if priority is None or each >= priority)

    def report(self) -> PermitReport:
        """Report how the permits are shared, with the largest shares."""
        waiting_at: Counter[str | None] = Counter()
        for (_, to), line in self._lines.items():
            waiting_at[to] += sum(map(len, line.waiting.values()))
        targets = [PermitShare(to, each.held, waiting_at[to], each.limit) for to, each in self._targets.items()]
        pipelines = [PermitShare(name, share.held, sum(share.waiting.values())) for name, share in self._shares.items()]
        waiting = self.count_all_waiting()
        return PermitReport(self._number, self._free, waiting, _choose_largest(pipelines), _choose_largest(targets))

    # -- lines --------------------------------------------------------------------------------------------------

    def _add_line(self, pipeline: str, to: str | None) -> PermitLine:
        if len(self._lines) >= self._most_lines:
            self._drop_idle_lines()
        limit = self._number if to is None else self._target_limit
        share = self._shares.setdefault(pipeline, _Share())
        line = PermitLine(pipeline, to, share, self._targets.setdefault(to, _Target(limit)))
        self._lines[pipeline, to] = line
        return line

    def _drop_idle_lines(self) -> None:
        self._lines = {key: line for key, line in self._lines.items() if line.held or line.waiting}
        self._shares = {line.pipeline: line.share for line in self._lines.values()}
        self._targets = {line.to: line.target for line in self._lines.values()}
        self._most_lines = max(IDLE_LINES, 2 * len(self._lines))

    def _place(self, line: PermitLine) -> None:
        """Put a line where it belongs: among the ready lines, to its target if that has no room, or nowhere if it is
        empty."""
        line.target.blocked.pop(line, None)
        place = max(line.waiting) if line.waiting else None
        if place is not None and not line.has_room:
            line.target.blocked[line] = None
            place = None
        if line.rank == place:
            return
        self._withdraw(line)
        if place is not None:
            if not line.share.ready:
                self._ready.setdefault(line.share.held, {})[line.share] = None
            line.share.ready.setdefault(place, {})[line] = None
            line.rank = place

    def _withdraw(self, line: PermitLine) -> None:
        if line.rank is not None:
            _remove(line.share.ready, line.rank, line)
            line.rank = None
            if not line.share.ready:
                _remove(self._ready, line.share.held, line.share)

    def _unblock(self, target: _Target) -> None:
        """After the end of an attempt at the target, find lines that are no longer blocked."""
        for line in list(target.blocked):
            self._place(line)

    def _leave(self, line: PermitLine, priority: int, turn: _Turn) -> None:
        _remove(line.waiting, priority, turn)
        line.share.waiting[priority] -= 1
        if not line.share.waiting[priority]:
            del line.share.waiting[priority]
        self._place(line)

    # -- permits --------------------------------------------------------------------------------------------------

    def _count(self, line: PermitLine, change: int) -> None:
        share = line.share
        if share.ready:
            _remove(self._ready, share.held, share)
        self._free -= change
        share.held += change
        line.held += change
        line.target.held += change
        if share.ready:
            self._ready.setdefault(share.held, {})[share] = None

    def _grant(self) -> None:
        """Grant the free permits."""
        while self._ready:
            share = next(iter(self._ready[min(self._ready)]))
            if not may_take(share.held, self._free, self._number):
                return  # pipelines that hold more may not take one either
            line = next(iter(share.ready[max(share.ready)]))
            if not line.has_room:
                self._place(line)
                continue
            priority = max(line.waiting)
            turn = next(iter(line.waiting[priority]))
            if not turn.done():  # else it is just about to go away
                self._count(line, 1)
                turn.set_result(None)
            self._withdraw(line)  # behind the pipeline's other targets
            self._leave(line, priority, turn)


def _choose_largest(shares: Sequence[PermitShare]) -> tuple[PermitShare, ...]:
    used = [share for share in shares if share.held or share.waiting]
    return tuple(sorted(used, key=lambda share: (-share.held, -share.waiting, share.name or ""))[:SHOWN_SHARES])


def _remove(places: dict[_Place, dict[_Thing, None]], place: _Place, thing: _Thing) -> None:
    """Remove a thing from its place, and drop the place if it is empty."""
    del places[place][thing]
    if not places[place]:
        del places[place]
