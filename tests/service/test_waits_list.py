"""The list of waits: the cost of a page, and long histories spread over pages."""

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from durable.clock import new_id
from durable.history.entries import AnyEntry, RunStarted, StepCompleted, StepScheduled, WaitStarted
from durable.history.words import Await, Links
from durable.journal.journal import Journal
from durable.units import Admission, Event, NewRun, RunView
from durable.values import INLINE_LIMIT, JSON, Value
from triggers.runs import waits

pytestmark = pytest.mark.anyio

RUNS = 100
URL = "https://here.example/waits"
AT = 1_700_000_000_000


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(tmp_path / "data", node="node-1", on_fatal=_fail)
    yield opened
    await opened.close()


def _fail(error: BaseException) -> None:
    raise error


def _asking(number: int, steps: int, title: str = "Really") -> list[AnyEntry]:
    """A history of `steps` steps that ends in a question."""
    asked: JSON = {"to": ["ops"], "title": f"{title} {number}", "fields": {"amount": {"type": "number"}}}
    done: list[AnyEntry] = []
    for step in range(steps):
        done.append(StepScheduled(at=AT, path=f"s[{step}].a"))
        done.append(StepCompleted(at=AT, path=f"s[{step}].a", attempt=1))
    links = Links("https://x.example/waits", "k" * 32)
    return [
        RunStarted(at=AT, pipeline="p", version="v", deadline=AT + 10**9, links=links),
        *done,
        StepScheduled(at=AT, path="ask", input=Value.of(asked)),
        WaitStarted(at=AT, path="ask", awaits=(Await("approval"),), due=AT + 10**6),
    ]


async def _fill(journal: Journal, histories: Sequence[list[AnyEntry]]) -> list[str]:
    view = RunView("waiting", due_at=AT + 10**6)
    runs = [NewRun(new_id("run", AT + n), "p", "v", None, AT, each, view) for n, each in enumerate(histories)]
    await journal.admit(Admission(Event(new_id("evt", AT), "test", "1", None, AT), runs))
    return [run.id for run in runs]


async def test_a_page_costs_much_less_than_reading_its_runs_one_by_one(journal: Journal) -> None:
    runs = await _fill(journal, [_asking(number, 2) for number in range(RUNS)])
    together, apart = [], []
    for _ in range(5):
        began = time.process_time()
        result, after = await waits.list_waits(journal, None, RUNS, may_answer=True, waits_url=URL)
        together.append(time.process_time() - began)
        began = time.process_time()
        each = []
        for run in runs:
            of_run, _ = await waits.list_waits_of(journal, run, None, RUNS, may_answer=True, waits_url=URL)
            each += of_run
        apart.append(time.process_time() - began)
        assert result == each
        assert (len(result), after) == (RUNS, runs[-1])
    assert min(together) < min(apart) / 4


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_long_histories_are_spread_over_pages_without_omissions(journal: Journal, limit: int) -> None:
    lengths = [0, waits.ENTRIES_LIMIT, 1, waits.ENTRIES_LIMIT // 4, waits.ENTRIES_LIMIT // 4, 0, 2]
    runs = await _fill(journal, [_asking(number, steps) for number, steps in enumerate(lengths)])
    after, found, pages = None, [], 0
    while pages == 0 or after:
        result, after = await waits.list_waits(journal, after, limit, may_answer=False, waits_url=URL)
        found += [(wait.run, wait.title) for wait in result]
        pages += 1
    assert found == [(run, f"Really {number}") for number, run in enumerate(runs)]
    assert pages >= 4, "the longest has a page of its own, and those of a quarter are not all in one"


async def test_a_large_question_is_loaded_for_the_list(journal: Journal) -> None:
    await _fill(journal, [_asking(number, 0, "x" * INLINE_LIMIT) for number in range(3)])
    result, after = await waits.list_waits(journal, None, 100, may_answer=False, waits_url=URL)
    assert [str(wait.title)[-1] for wait in result] == ["0", "1", "2"]
    assert after is None


async def test_the_list_is_empty_when_nothing_waits(journal: Journal) -> None:
    assert await waits.list_waits(journal, None, 100, may_answer=False, waits_url=URL) == ([], None)


async def _fill_with_much(journal: Journal) -> tuple[list[str], list[tuple[str, str]]]:
    """Create three runs, the second of which waits for much; returns them, and the waits of that one."""
    count = 2 * waits.WAITS_LIMIT + 3
    much = _asking(0, 0)
    for number in range(count):
        much.append(StepScheduled(at=AT, path=f"w[{number}].ask", input=Value.of({"title": f"Really w{number}"})))
        much.append(WaitStarted(at=AT, path=f"w[{number}].ask", awaits=(Await("approval"),)))
    runs = await _fill(journal, [_asking(1, 0), much, _asking(2, 0)])
    return runs, [(runs[1], f"Really {number}") for number in (0, *(f"w{each}" for each in range(count)))]


@pytest.mark.parametrize("limit", [1, 7, 1_000])
async def test_a_run_that_waits_for_much_is_spread_over_pages(journal: Journal, limit: int) -> None:
    runs, of_much = await _fill_with_much(journal)
    after, found = None, []
    while True:
        result, after = await waits.list_waits(journal, after, limit, may_answer=False, waits_url=URL)
        assert len(result) <= waits.WAITS_LIMIT
        found += [(wait.run, wait.title) for wait in result]
        if after is None:
            break
    assert found == [(runs[0], "Really 1"), *of_much, (runs[2], "Really 2")]


async def test_the_waits_of_one_run_are_spread_over_pages(journal: Journal) -> None:
    runs, of_much = await _fill_with_much(journal)
    path, found = None, []
    while True:
        result, after = await waits.list_waits_of(journal, runs[1], path, 300, may_answer=False, waits_url=URL)
        found += [(wait.run, wait.title) for wait in result]
        if after is None:
            break
        path = after.partition("/")[2]
    assert found == of_much
