"""The outline of a run: its steps counted, and in the order in which people look at them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice, takewhile
from typing import Literal, NamedTuple, Protocol, TypeAlias

from durable.history.state import State, StepState
from durable.history.words import StepStatus
from durable.path import frame_of, is_within

StepOrder: TypeAlias = Literal["attention", "time"]
"""`attention`: what a person has to look at first. `time`: in the order in which they were reached."""

StepKind: TypeAlias = Literal["calls", "undo", "decisions"]
"""Steps that called a run, that have an undo, or that wait for a person to decide."""

_URGENT: dict[StepStatus, int] = {"failed": 1, "uncertain": 1, "waiting": 2, "running": 3}
_INSIDE = 3  # what is inside of a loop comes after its like outside
_REST = 7
RANKS = _REST + 2
_INSIDE_RANKS = frozenset({4, 5, 6, 8})
"""The ranks of `attention`: 0 decisions; 1-3 failed, waiting, running outside of loops; 4-6 inside; 7-8 the others."""


class Reached(Protocol):
    """The number of the entry that reached a step."""

    @property
    def reached(self) -> int: ...


class StepPlace(NamedTuple):
    """The place of a step in a list: its rank (0 in the order of time), and the entry that reached it."""

    rank: int
    reached: int


class StepOutline:
    """The steps of a run by rank. `counts`: how many have each status; `calls`, `undos`: which called a run, and which
    have an undo to show, in the order in which they were reached."""

    def __init__(self, state: State, traces: Mapping[str, Reached], rest: Callable[[], None]) -> None:
        self.counts: dict[StepStatus, int] = {}
        self.calls: list[str] = []
        self.undos = [path for path in state.undos if has_undo(state, path)]
        self._state = state
        self._ranks: list[list[tuple[int, str]]] = [[] for _ in range(RANKS)]
        self._by_time: list[tuple[int, str]] | None = None
        self._by_path: list[tuple[str, StepPlace]] | None = None
        for path, step in state.steps.items():
            self.counts[step.status] = self.counts.get(step.status, 0) + 1
            self._ranks[_find_rank(path, step)].append((traces[path].reached, path))
            if step.child:
                self.calls.append(path)
            rest()
        for rank in self._ranks:
            rank.sort()

    def list_steps(
        self, order: StepOrder, after: StepPlace | None, under: str = "", *, is_outline: bool = False
    ) -> Iterator[tuple[StepPlace, str]]:
        """Iterate over the steps behind a place, each with its own: those whose paths begin with `under`, and with
        `is_outline` those outside of the loops there."""
        found = self._list_under(order, after, under) if under else self._list_all(order, after, is_outline=is_outline)
        yield from (each for each in found if not is_outline or is_in_outline(each[1], under))

    def _list_all(
        self, order: StepOrder, after: StepPlace | None, *, is_outline: bool
    ) -> Iterator[tuple[StepPlace, str]]:
        ranks = [[] if is_outline and rank in _INSIDE_RANKS else steps for rank, steps in enumerate(self._ranks)]
        if order == "time":
            if is_outline:
                ranks = [sorted(chain.from_iterable(ranks))]
            else:
                self._by_time = self._by_time or sorted(chain.from_iterable(ranks))
                ranks = [self._by_time]
        for rank, steps in enumerate(ranks):
            if after is None or rank >= after.rank:
                start = bisect_right(steps, after.reached, key=_get_reached) if after and rank == after.rank else 0
                for index in range(start, len(steps)):
                    reached, path = steps[index]
                    yield StepPlace(rank, reached), path

    def _list_under(self, order: StepOrder, after: StepPlace | None, under: str) -> Iterator[tuple[StepPlace, str]]:
        if self._by_path is None:
            self._by_path = sorted(
                (path, StepPlace(rank, reached)) for rank, steps in enumerate(self._ranks) for reached, path in steps
            )
        first = bisect_left(self._by_path, under, key=_get_path)
        inside = takewhile(lambda each: each[0].startswith(under), islice(self._by_path, first, None))
        places = [(place if order == "attention" else StepPlace(0, place.reached), path) for path, place in inside]
        yield from (each for each in sorted(places) if after is None or each[0] > after)

    def is_of_kind(self, path: str, kind: StepKind) -> bool:
        step = self._state.steps[path]
        match kind:
            case "calls":
                return step.child is not None
            case "undo":
                return has_undo(self._state, path)
        return step.needs_person


def has_undo(state: State, path: str) -> bool:
    """Whether the effect of a step can be taken back, is being taken back, was, or could not be."""
    undo = state.undos.get(path)
    return undo is not None and (undo.status != "registered" or undo.input is not None or state.steps[path].is_doubtful)


def is_in_outline(path: str, under: str) -> bool:
    """Whether a step stands under a path, and outside of the loops in it; `under` itself may be a loop."""
    if not is_within(path, under):
        return False
    frame = frame_of(path)[len(under) :]
    return "[" not in (frame.partition("]")[2] if frame.startswith("[") else frame)


def _find_rank(path: str, step: StepState) -> int:
    if step.needs_person:
        return 0
    is_inside = "[" in frame_of(path)
    urgent = _URGENT.get(step.status)
    return _REST + is_inside if urgent is None else urgent + _INSIDE * is_inside


def _get_path(each: tuple[str, StepPlace]) -> str:
    return each[0]


def _get_reached(each: tuple[int, str]) -> int:
    return each[0]
