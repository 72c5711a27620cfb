"""The rows of a run's outline in order: blocks with what is inside of them, a loop as one row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from durable.history.state import State
from durable.history.words import StepStatus
from durable.path import find_step_path, frame_of, is_within

_URGENT: dict[StepStatus, int] = {"failed": 0, "uncertain": 0, "waiting": 1, "running": 1}
_REST = 2
"""The order of a loop's items: those with a failure, the unfinished ones, the others."""


class Row(NamedTuple):
    """The place of a row: the path of its step, and in how many listed blocks it is."""

    path: str
    depth: int = 0


class RowList:
    """Rows in order, in groups that are arranged when they are needed: of a run of 10,000 items, a page shows 100.

    `groups`: the frame of each group, and the paths in it in the order in which they were reached.
    """

    def __init__(self, groups: Sequence[tuple[str, Sequence[str]]], flat: Sequence[str] = ()) -> None:
        self._groups = groups
        self._flat = flat

    def __len__(self) -> int:
        return sum(len(paths) for _, paths in self._groups) + len(self._flat)

    def __iter__(self) -> Iterator[Row]:
        for frame, paths in self._groups:
            yield from _arrange(paths, frame)
        yield from map(Row, self._flat)

    def keep(self, is_kept: Callable[[str], bool]) -> "RowList":
        """Return the rows whose paths are kept. What is inside of a block is kept with the block."""
        groups = [(frame, [path for path in paths if is_kept(path)]) for frame, paths in self._groups]
        return RowList([group for group in groups if group[1]], [path for path in self._flat if is_kept(path)])

    def take_page(self, after: str | None, limit: int) -> tuple[int, list[Row]]:
        """Return the number of rows before a page, and the page: it begins behind the row `after`, or at the start if
        there is no such row."""
        before = self._count_until(after) if after is not None else 0
        return before, list(islice(self._iterate_from(before), limit))

    def _count_until(self, path: str) -> int:
        """Count the rows up to this one; 0 if it is not listed."""
        count = 0
        for frame, paths in self._groups:
            if path in paths:
                return count + [row.path for row in _arrange(paths, frame)].index(path) + 1
            count += len(paths)
        return count + self._flat.index(path) + 1 if path in self._flat else 0

    def _iterate_from(self, number: int) -> Iterator[Row]:
        for frame, paths in self._groups:
            if number < len(paths):
                yield from islice(_arrange(paths, frame), number, None)
            number = max(0, number - len(paths))
        yield from map(Row, self._flat[number:])


def _arrange(paths: Sequence[str], frame: str) -> Iterator[Row]:
    """Iterate over the rows of a group: each block is followed by what is inside of it."""
    if len(paths) == 1:
        yield Row(paths[0])
        return
    children: dict[str, list[str]] = {}
    for path in paths:
        children.setdefault(frame_of(path), []).append(path)
    known = set(paths)
    for top in [path for path in paths if frame_of(path) not in known]:
        yield from _walk(children, top, 0)


def _walk(children: Mapping[str, Sequence[str]], path: str, depth: int) -> Iterator[Row]:
    yield Row(path, depth)
    for inner in children.get(path, ()):
        yield from _walk(children, inner, depth + 1)


def list_failed(state: State) -> RowList:
    """List the steps that failed or need a decision, without the blocks that failed because of them."""
    return RowList(
        [],
        [
            path
            for path, step in state.steps.items()
            if step.needs_person
            or step.status == "uncertain"
            or (step.status == "failed" and find_step_path((step.error and step.error.step) or path) == path)
        ],
    )


def list_unfinished(state: State) -> RowList:
    """List the steps that are performed or wait, without the blocks around them."""
    return RowList([], list(state.active))


def list_rows(state: State, under: str, planned: Sequence[str], rest: Callable[[], None]) -> RowList:
    """List the steps inside a block or an item, outside of the loops there; of a loop its items, the failed ones first.
    `planned`: the ids of the steps on the first level, of which the last ones may not be reached."""
    paths: list[str] = []
    items: dict[str, list[str]] = {}
    ranks: dict[str, int] = {}
    start = len(under)
    for path, step in state.steps.items():
        rest()
        if not is_within(path, under):
            continue
        end = path.find("]", start) + 1 if under and path[start] == "[" else 0
        is_outside_of_loops = "[" not in frame_of(path[max(end, start) :])
        if not end:
            if is_outside_of_loops:
                paths.append(path)
            continue
        item = path[:end]
        if (rank := _URGENT.get(step.status)) is not None:
            ranks[item] = min(ranks.get(item, rank), rank)
        if is_outside_of_loops:
            items.setdefault(item, []).append(path)
    if items:
        order = sorted(items, key=lambda item: (ranks.get(item, _REST), int(item[start + 1 : -1])))
        return RowList([(item, items[item]) for item in order])
    pending = [id for id in planned if id not in state.steps] if not under and state.main is None else []
    return RowList([(under, paths)] if paths else [], pending)
