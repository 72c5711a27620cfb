"""Folds of recorded histories: the same as their replay, with every step in its place after each entry."""

from typing import get_args

import msgspec
import pytest

from durable.history.state import State
from durable.journal.folds import VALUE_LIMIT, Fold, StoredValue
from durable.journal.outline import StepOrder, StepOutline
from durable.replay import replay_entries
from durable.values import Value
from tests.histories import names, read
from triggers.runs.steps import count_items


def _list_steps(state: State) -> list[tuple[object, ...]]:
    """Everything of the steps but their values."""
    fields = [name for name in next(iter(state.steps.values())).__struct_fields__ if name not in ("input", "output")]
    return [(path, *(getattr(step, name) for name in fields)) for path, step in state.steps.items()]


@pytest.mark.parametrize("name", names())
def test_a_fold_is_its_replay_with_every_step_in_each_order(name: str) -> None:
    recorded = read(name)
    fold = Fold(recorded.run)
    for number, entry in enumerate(recorded.entries, 1):
        fold.add(number, entry)
        outline = StepOutline(fold.state, fold.traces, lambda: None)
        for order in get_args(StepOrder):
            assert sorted(path for _, path in outline.list_steps(order, None)) == sorted(fold.state.steps)
        assert sum(outline.counts.values()) == len(fold.state.steps)
        for path, block in fold.state.blocks.items():
            items = count_items(fold.state.steps[path], block)
            assert items is None or sum(items.counts.values()) in (block.count, block.begun), (path, items)
    replayed = replay_entries(recorded.run, recorded.entries)
    assert (fold.state.status, fold.state.entries) == (replayed.status, replayed.entries)
    if replayed.steps:
        assert _list_steps(fold.state) == _list_steps(replayed)


@pytest.mark.parametrize("name", names())
def test_a_fold_keeps_no_value_above_the_limit(name: str) -> None:
    recorded = read(name)
    fold = Fold(recorded.run)
    for number, entry in enumerate(recorded.entries, 1):
        fold.add(number, entry)
    values = [value for step in fold.state.steps.values() for value in (step.input, step.output)]
    assert all(value.size <= VALUE_LIMIT or value.ref for value in values)
    stored = [value for value in values if isinstance(value, StoredValue)]
    assert all(_find(recorded.entries[value.entry - 1], value) == value.size for value in stored)


def _find(entry: msgspec.Struct, stored: StoredValue) -> int:
    value = getattr(entry, stored.field)
    assert isinstance(value, Value)
    return value.size
