"""Takeover of a run with a long history: complete, and without delaying other commits."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from durable.history.entries import AnyEntry
from durable.journal.errors import Stale
from durable.journal.histories import PAGE
from durable.journal.journal import Journal
from durable.replay import replay_entries
from durable.runner.replay import replay_history
from durable.units import SideEffects, Takeover
from durable.values import NULL
from tests.journal import samples

pytestmark = pytest.mark.anyio

APPENDS = 12_000
EACH = 4


def _entries(number: int) -> list[AnyEntry]:
    path = f"each[{number}].a"
    again = f"each[{number}].b"
    return [
        samples.make_step_scheduled(path),
        samples.make_step_completed(path),
        samples.make_step_scheduled(again),
        samples.make_step_completed(again),
    ]


async def _a_long_run(journal: Journal, appends: int, name: str = "long") -> str:
    run = await samples.a_run(journal, name)
    after = 1
    for first in range(0, appends, 500):
        futures = []
        for number in range(first, min(first + 500, appends)):
            futures.append(journal.append(run, 1, after, _entries(number), samples.RUNNING))
            after += EACH
        await asyncio.gather(*futures)
    return run


async def _take_over(journal: Journal, run: str) -> Takeover:
    takeover = await journal.take_over(run, 2_000, count_recovery=False)
    assert takeover
    state = await replay_history(journal, run, takeover.sequence)
    assert state.entries == takeover.sequence
    return takeover


async def _time_commits(journal: Journal, run: str, until: asyncio.Future[Takeover]) -> AsyncIterator[float]:
    """The duration in seconds of each of another run's commits, one after the other."""
    while not until.done():
        began = time.perf_counter()
        await journal.append(run, 1, 1, [], samples.RUNNING, (), SideEffects())
        yield time.perf_counter() - began


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector pauses every thread and would blur the measurement."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_no_commit_waits_for_the_takeover_of_a_long_run(journal: Journal) -> None:
    run, other = await _a_long_run(journal, APPENDS), await samples.a_run(journal, "other")
    shares = []
    for _ in range(3):
        began = time.perf_counter()
        taking = asyncio.ensure_future(_take_over(journal, run))
        longest = max([took async for took in _time_commits(journal, other, taking)])
        shares.append(longest / (time.perf_counter() - began))
        await taking
    assert min(shares) < 0.2, f"of the takeover's time, one commit took {shares}"


@pytest.mark.parametrize("appends", [0, 1, PAGE - 2, PAGE - 1, PAGE, 2 * PAGE + 1])
async def test_a_history_read_in_pieces_is_the_same_history(journal: Journal, appends: int) -> None:
    run = await _a_long_run(journal, appends)
    history = [entry for _, entry in await journal.read_history(run)]
    assert await replay_history(journal, run) == replay_entries(run, history)
    assert [entry async for page in journal.read_pages(run) for entry in page] == history
    found = [each for each in await journal.list_unfinished(10) if each.run == run]
    assert await journal.scan(lambda scan: list(scan.replay_all(found))) == [(replay_entries(run, history), None)]
    assert await journal.load_state(run) == replay_entries(run, history)


async def test_a_former_owner_appends_nothing_that_the_new_owner_does_not_read(journal: Journal) -> None:
    run = await _a_long_run(journal, PAGE + 10)
    taking_over = journal.take_over(run, 2_000, count_recovery=False)
    late = journal.append(run, 1, 1 + EACH * (PAGE + 10), [samples.make_step_scheduled("late")], samples.RUNNING)
    message = journal.post(run, "cancel", NULL, 2_000)
    takeover = await taking_over
    with pytest.raises(Stale):
        await late
    assert takeover
    assert await message == "posted"
    assert "late" not in (await replay_history(journal, run, takeover.sequence)).steps
    assert [each.kind for each in await journal.list_messages(run)] == ["cancel"], "it waits for the new owner"


async def test_a_takeover_reads_no_further_than_its_own_fence(journal: Journal) -> None:
    run = await _a_long_run(journal, PAGE + 10)
    first = await journal.take_over(run, 2_000, count_recovery=False)
    second = await journal.take_over(run, 2_001, count_recovery=False)
    assert first
    assert second
    await journal.append(run, second.epoch, second.sequence, [samples.make_step_scheduled("later")], samples.RUNNING)
    assert "later" not in (await replay_history(journal, run, first.sequence)).steps
    with pytest.raises(Stale):
        await journal.append(run, first.epoch, first.sequence, [samples.make_step_scheduled("stale")], samples.RUNNING)
