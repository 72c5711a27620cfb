"""The time line of a run: each step's time is split without gaps, and the axis keeps the order of times."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.journal.folds import Fold
from durable.journal.timeline import WIDTH, Part, count_parts, make_axis, measure_work, split_time
from tests.histories import names, read


@pytest.mark.parametrize("name", names())
def test_parts_of_a_step_follow_each_other_and_fill_its_time(name: str) -> None:
    recorded = read(name)
    fold = Fold(recorded.run)
    for number, entry in enumerate(recorded.entries, 1):
        fold.add(number, entry)
        fold.timeline.list_parts(fold.state, fold.traces, entry.at, is_held=False, rest=lambda: None)
    state = fold.state
    until = state.latest
    whole = fold.timeline.list_parts(state, fold.traces, until, is_held=False, rest=lambda: None)
    for path, step in state.steps.items():
        parts = list(split_time(path, step, fold.traces[path], until, is_held=False))
        assert sorted(parts) == sorted(part for part in whole if part[0] == path)
        assert all(start <= end for _, _, start, end in parts)
        assert all(before[3] == after[2] for before, after in pairwise(parts) if before[1] != "backoff"), parts
        if parts and step.scheduled_at is not None:
            assert parts[0][2] == step.scheduled_at
            assert parts[-1][3] == (until if step.finished_at is None else step.finished_at)


times = st.integers(0, 10_000_000)
spans = st.lists(st.tuples(times, times).map(lambda pair: (min(pair), max(pair))), max_size=30)


@given(times, times, spans)
def test_an_axis_keeps_the_order_of_times_and_has_its_whole_width(
    start: int, length: int, work: list[tuple[int, int]]
) -> None:
    end = start + length
    parts: list[Part] = [("a", "attempt", start + first, start + last) for first, last in work if last <= length]
    worked, idle = measure_work(parts, start, end)
    axis = make_axis(start, end, idle)
    assert 0 <= worked <= length
    assert (axis.pieces[0].x, axis.pieces[-1].x + axis.pieces[-1].width) == (0, WIDTH)
    assert all(before.x + before.width == after.x for before, after in pairwise(axis.pieces))
    places = [axis.locate(at) for at in sorted({start, end, *(bound for part in parts for bound in part[2:])})]
    assert places == sorted(places)
    assert [axis.locate(axis.find_time(x)) for x in (0, WIDTH)] == [0, WIDTH]


def test_a_wait_of_an_hour_is_shortened_beside_a_second_of_work() -> None:
    parts: list[Part] = [
        ("a", "attempt", 0, 600),
        ("b", "waiting", 600, 3_600_600),
        ("c", "failed", 3_600_600, 3_601_000),
    ]
    worked, idle = measure_work(parts, 0, 3_601_000)
    assert (worked, idle) == (1_000, [(600, 3_600_600)])
    axis = make_axis(0, 3_601_000, idle)
    assert [(piece.x, piece.width, piece.is_idle) for piece in axis.pieces] == [
        (0, 564, False),
        (564, 60, True),
        (624, 376, False),
    ]
    counted = count_parts(parts, axis, 10)
    assert counted.working == [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert counted.waiting[5:7] == [1, 1]
    assert counted.queued == [0] * 10
    assert counted.failed == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
