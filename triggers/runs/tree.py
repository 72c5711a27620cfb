"""The rows of a run's outline in order: blocks with what is inside of them, a loop as one row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from durable.history.state import State
from durable.history.words import StepStatus
from durable.journal.outline import is_in_outline
from durable.path import find_step_path, frame_of, split_frame

_URGENT: dict[StepStatus, int] = {"failed": 0, "uncertain": 0, "waiting": 1, "running": 1}
_REST = 2
"""The order of a loop's items: those with a failure, the unfinished ones, the others."""


class Row(NamedTuple):
    """The place of a row: the path of its step, and in how many listed blocks it is."""

    path: str
    depth: int = 0


def list_failed(state: State) -> list[Row]:
    """List the steps that failed or need a decision, without the blocks that failed because of them."""
    return [
        Row(path)
        for path, step in state.steps.items()
        if step.needs_person
        or step.status == "uncertain"
        or (step.status == "failed" and find_step_path((step.error and step.error.step) or path) == path)
    ]


def list_unfinished(state: State) -> list[Row]:
    """List the steps that are performed or wait, without the blocks around them."""
    return [Row(path) for path in state.active]


def list_rows(state: State, under: str, planned: Sequence[str], rest: Callable[[], None]) -> list[Row]:
    """List the steps inside a block or an item, outside of the loops there; of a loop its items, the failed ones first.
    `planned`: the ids of the steps on the first level, of which the last ones may not be reached."""
    children: dict[str, list[str]] = {}
    ranks: dict[str, int] = {}
    for path, step in state.steps.items():
        rest()
        if not path.startswith(under):
            continue
        rank = _URGENT.get(step.status)
        if rank is not None and under:
            item = _find_item(path, under)
            ranks[item] = min(ranks.get(item, rank), rank)
        if is_in_outline(path, under):
            children.setdefault(frame_of(path), []).append(path)
    if under in children or not under:
        rows = list(_walk(children, under, 0))
    else:
        items = sorted((frame for frame in children if frame.startswith(f"{under}[")), key=_find_index)
        items.sort(key=lambda item: ranks.get(item, _REST))
        rows = [row for item in items for row in _walk(children, item, 0)]
    if not under and state.main is None:
        rows += [Row(id) for id in planned if id not in state.steps]
    return rows


def _find_item(path: str, loop: str) -> str:
    """The frame of the item of a loop that a path is in."""
    return path[: path.find("]", len(loop)) + 1]


def _find_index(item: str) -> int:
    return split_frame(item)[1] or 0


def _walk(children: Mapping[str, Sequence[str]], frame: str, depth: int) -> Iterator[Row]:
    for path in children.get(frame, ()):
        yield Row(path, depth)
        yield from _walk(children, path, depth + 1)
