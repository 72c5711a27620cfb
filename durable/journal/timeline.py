"""The time line of a run: what its steps did when, on an axis on which long times without work can be shortened.

Times are wall-clock milliseconds. An attempt has the time of its start from the history; where the history has none, it
begins where the part before it ended.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Literal, NamedTuple, Protocol, TypeAlias

from durable.history.entries import AttemptFailed, AttemptLost, PageCompleted, StepCompleted
from durable.history.state import State, StepState
from durable.history.words import StepStatus

PartKind: TypeAlias = Literal["queued", "attempt", "failed", "lost", "running", "backoff", "waiting", "earlier"]
"""`queued`: before the first attempt; `attempt`, `failed`, `lost`: an attempt, by how it ended; `running`: the attempt
that is performed now; `backoff`: between two attempts; `waiting`: for an answer, an event, a time, a called run or a
person; `earlier`: attempts that are no longer kept one by one."""

AttemptEnd: TypeAlias = StepCompleted | PageCompleted | AttemptFailed | AttemptLost

WIDTH = 1_000
"""The length of an axis."""

IDLE_SHARE = 0.05
IDLE_FROM = 1_000
"""A time without work is shortened from this share of all work, and from this length in ms."""

IDLE_WIDTH = 60
IDLE_TOTAL = 300
IDLE_LIMIT = 15
"""The greatest width of a shortened time, that of all of them, and how many are shortened, the longest ones."""

_WORK: frozenset[PartKind] = frozenset({"attempt", "failed", "lost", "running"})
_FAILURES: frozenset[PartKind] = frozenset({"failed", "lost"})

_ENDS: dict[StepStatus, PartKind] = {"completed": "attempt", "failed": "failed"}
"""What a step did that ended without an attempt, as an action of the core does."""

Part: TypeAlias = tuple[str, PartKind, int, int]
"""A part of a step's time: the path of the step, what it is, its start and its end. A plain tuple, because a collection
of garbage does not visit tuples of texts and numbers."""


class Traced(Protocol):
    """How the last attempts of a step ended, oldest first."""

    @property
    def tries(self) -> list[AttemptEnd]: ...


class Timeline:
    """The parts of all steps of a run, kept between two reads.

    What has ended does not change until a step is reopened; then a new one is made.
    """

    def __init__(self) -> None:
        self._ended: list[Part] = []
        self._open: list[str] = []
        self._known = 0

    def list_parts(
        self, state: State, traces: Mapping[str, Traced], until: int, *, is_held: bool, rest: Callable[[], None]
    ) -> list[Part]:
        """Return the parts of all steps up to a time. What a fork has copied happened in another run."""
        still_open: list[str] = []
        unfinished: list[Part] = []
        for path in [*self._open, *islice(state.steps, self._known, None)]:
            step = state.steps[path]
            if step.finished_at is None:
                still_open.append(path)
                unfinished += split_time(path, step, traces[path], until, is_held=is_held)
            else:
                self._ended += split_time(path, step, traces[path], until, is_held=is_held)
            rest()
        self._open, self._known = still_open, len(state.steps)
        return [*self._ended, *unfinished]


def split_time(path: str, step: StepState, trace: Traced, until: int, *, is_held: bool) -> Iterator[Part]:
    """Iterate over the parts of a step's time, oldest first; a block has none. `until` is the end of the time line;
    `is_held`: no attempt is performed now, because the run is paused or has no owner."""
    start = step.scheduled_at
    if start is None and step.status == "failed" and step.finished_at is not None:
        yield path, "failed", step.finished_at, step.finished_at  # its input could not be evaluated
    if start is None or not step.attempt or step.is_copied:
        return
    last, gap = start, "queued"
    tries = trace.tries
    if tries and tries[0].attempt > 1:
        gap = "earlier"
    for end in tries:
        began = last if end.started_at is None else max(last, end.started_at)
        if began > last:
            yield path, gap, last, began  # type: ignore[misc]
        kind: PartKind = "attempt"
        if isinstance(end, AttemptFailed):
            kind = "failed"
        elif isinstance(end, AttemptLost):
            kind = "lost"
        last, gap = max(began, end.at), "backoff"
        yield path, kind, began, last
    if tries and step.finished_at is not None and step.finished_at <= last:
        return
    rest, began, ended = _find_rest(step, last, until, is_held=is_held, has_tries=bool(tries))
    yield path, rest, began, ended


def _find_rest(step: StepState, last: int, until: int, *, is_held: bool, has_tries: bool) -> tuple[PartKind, int, int]:
    """The part after the last attempt that has ended."""
    is_wait = bool(step.awaits or step.child)
    if step.finished_at is not None:
        kind = "backoff" if has_tries else _ENDS.get(step.status, "backoff")
        return "waiting" if is_wait else kind, last, max(last, step.finished_at)
    if is_wait or step.needs_person or step.status == "uncertain":
        return "waiting", last, max(last, until)
    if step.status == "running" or (step.due is not None and step.due <= until):
        began = max(last, step.due or last)
        return "backoff" if is_held else "running", began, max(began, until)
    return "backoff", last, max(last, until)


class Piece(NamedTuple):
    """A piece of an axis: the time from `start` to `end` is drawn from `x` to `x + width`."""

    start: int
    end: int
    x: int
    width: int
    is_idle: bool


class Axis:
    """Places times on a line of `WIDTH`."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.start, self.end = pieces[0].start, pieces[-1].end
        self._starts = [piece.start for piece in pieces]

    def locate(self, at: int) -> int:
        """Return the place of a time; a time outside is at the nearest end."""
        at = min(max(at, self.start), self.end)
        start, end, x, width, _ = self.pieces[bisect_right(self._starts, at) - 1]
        return x + (at - start) * width // (end - start or 1)

    def find_time(self, x: int) -> int:
        """Return the time at a place."""
        piece = next((each for each in self.pieces if x <= each.x + each.width), self.pieces[-1])
        return piece.start + (x - piece.x) * (piece.end - piece.start) // (piece.width or 1)


def make_axis(start: int, end: int, idle: Iterable[tuple[int, int]] = ()) -> Axis:
    """Make an axis from `start` to `end`. The times in `idle` are shortened."""
    end = max(end, start + 1)
    gaps = [(max(first, start), min(last, end)) for first, last in idle if last > start and first < end]
    rest = end - start - sum(last - first for first, last in gaps)
    if rest <= 0:
        gaps, rest = [], end - start
    idle_width = min(IDLE_WIDTH, IDLE_TOTAL // len(gaps)) if gaps else 0
    width = WIDTH - idle_width * len(gaps)
    bounds = [start, *(bound for gap in gaps for bound in gap), end]
    pieces: list[Piece] = []
    worked = 0
    for number, (first, last) in enumerate(pairwise(bounds)):
        idles = number // 2
        is_idle = number % 2 == 1
        x = worked * width // rest + idle_width * idles
        worked += 0 if is_idle else last - first
        if last > first:
            after = worked * width // rest + idle_width * (idles + is_idle)
            pieces.append(Piece(first, last, x, after - x, is_idle))
    return Axis(pieces)


def measure_work(parts: Iterable[Part], start: int, end: int) -> tuple[int, list[tuple[int, int]]]:
    """Return how long anything worked between two times, and the longest times in which nothing did."""
    gaps: list[tuple[int, int]] = []
    reached, worked = start, 0
    for first, last in sorted((part[2], part[3]) for part in parts if part[1] in _WORK):
        if first > reached:
            gaps.append((reached, first))
            reached = first
        if last > reached:
            worked += last - reached
            reached = last
    if end > reached:
        gaps.append((reached, end))
    least = max(IDLE_FROM, worked * IDLE_SHARE)
    longest = sorted((gap for gap in gaps if gap[1] - gap[0] >= least), key=lambda gap: gap[0] - gap[1])
    return worked, sorted(longest[:IDLE_LIMIT]) if worked else []


class Density(NamedTuple):
    """How many steps worked, waited, and were queued or between two attempts in equal pieces of an axis, and how many
    attempts failed there."""

    working: list[int]
    waiting: list[int]
    queued: list[int]
    failed: list[int]


def count_parts(parts: Sequence[Part], axis: Axis, size: int) -> Density:
    """Count parts in `size` equal pieces of an axis."""
    bounds = [axis.find_time(number * WIDTH // size) for number in range(size)]
    bounds.append(axis.end + 1)
    work = [part for part in parts if part[1] in _WORK]
    waits = [part for part in parts if part[1] == "waiting"]
    rest = [part for part in parts if part[1] not in _WORK and part[1] != "waiting"]
    ends = sorted(part[3] for part in work if part[1] in _FAILURES)
    failed = [bisect_left(ends, last) - bisect_left(ends, first) for first, last in pairwise(bounds)]
    working, waiting, queued = (_count_overlaps(each, bounds) for each in (work, waits, rest))
    return Density(working, waiting, queued, failed)


def _count_overlaps(parts: Sequence[Part], bounds: Sequence[int]) -> list[int]:
    starts = sorted([part[2] for part in parts])
    ends = sorted([part[3] for part in parts])
    return [bisect_left(starts, last) - bisect_left(ends, first) for first, last in pairwise(bounds)]


def group_by_loop(parts: Iterable[Part], loops: Collection[str]) -> dict[str, list[Part]]:
    """Return the parts inside each of these loops."""
    groups: dict[str, list[Part]] = {loop: [] for loop in loops}
    for part in parts:
        path = part[0]
        end = path.find("[")
        while end != -1:
            if (group := groups.get(path[:end])) is not None:
                group.append(part)
            end = path.find("[", end + 1)
    return groups
