"""Reading a long run does not block other requests: its documents are built outside the event loop."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from durable.history.entries import AnyEntry, StepCompleted, StepScheduled
from durable.journal.errors import JournalBusy
from durable.journal.journal import Journal
from durable.journal.reads import WAITING_SCANS
from durable.values import Value
from tests.journal import samples
from triggers.runs import export, history, waits
from triggers.runs import run as one_run

pytestmark = pytest.mark.anyio

STEPS = 2_000
EACH = 50
"""Steps in one append."""

READS: dict[str, Callable[[Journal, str], Awaitable[object]]] = {
    "the run": one_run.encode_run,
    "the run for somebody who may not answer": lambda reads, run: one_run.encode_run(reads, run, may_answer=False),
    "a page of its history": history.encode_history,
    "its export": export.export_run,
    "what it waits for": lambda reads, run: waits.list_waits_of(reads, run, None, 100, may_answer=True, waits_url=""),
    "what all runs wait for": lambda reads, run: waits.list_waits(reads, None, 10, may_answer=True, waits_url=""),
    "whether a step has answered": lambda reads, run: reads.load_state(run),
}


def _fail(error: BaseException) -> None:
    raise error


def _step(number: int) -> list[AnyEntry]:
    path, text = f"s{number}", Value.of({"text": "run_ " + "x" * 200, "n": [number] * 20})
    return [
        StepScheduled(at=1_000, path=path, input=text),
        StepCompleted(at=1_001, path=path, attempt=1, output=text),
    ]


@pytest.fixture
async def long_run(tmp_path: Path) -> AsyncIterator[tuple[Journal, str]]:
    journal = await Journal.open(tmp_path / "data", node="node-1", on_fatal=_fail)
    run, after = await samples.a_run(journal, "long"), 1
    for first in range(0, STEPS, EACH):
        entries = [entry for number in range(first, first + EACH) for entry in _step(number)]
        await journal.append(run, 1, after, entries, samples.RUNNING)
        after += len(entries)
    yield journal, run
    await journal.close()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector pauses every thread and would blur the measurement."""
    gc.disable()
    yield
    gc.enable()


async def _longest_gap(reading: Awaitable[object]) -> float:
    """The longest time for which the event loop was blocked, as a share of the whole read. It is processor time, of
    which other processes take none."""
    task = asyncio.ensure_future(reading)
    began = last = time.process_time()
    longest = 0.0
    while not task.done():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    await task
    return longest / (last - began)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("read", READS)
async def test_reading_a_long_run_does_not_block_the_event_loop(long_run: tuple[Journal, str], read: str) -> None:
    shares = [await _longest_gap(READS[read](*long_run)) for _ in range(3)]
    assert min(shares) < 0.25, f"of the time of reading {read}, the loop waited {shares} in one piece"


async def test_the_number_of_waiting_readers_is_bounded(long_run: tuple[Journal, str]) -> None:
    journal, run = long_run
    reads = [asyncio.ensure_future(journal.scan(lambda scan: scan.find_run(run))) for _ in range(WAITING_SCANS + 5)]
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, JournalBusy)]
    assert len(refused) == 5, "the others are refused and may retry"


async def test_a_short_run_does_not_wait_for_the_readers_of_long_ones(long_run: tuple[Journal, str]) -> None:
    journal, run = long_run
    short = await samples.a_run(journal, "short")
    long = [asyncio.ensure_future(one_run.encode_run(journal, run)) for _ in range(8)]
    await one_run.encode_run(journal, short)
    assert not long[-1].done()
    for each in long:
        each.cancel()


async def test_the_pages_of_a_history_add_up_to_the_whole(long_run: tuple[Journal, str]) -> None:
    journal, run = long_run
    texts: list[bytes] = []
    after: int | None = 0
    while after is not None:
        text, after = await history.encode_history(journal, run, after, 777)
        texts.append(text[1:-1])
    whole, _ = await history.encode_history(journal, run, limit=100_000)
    assert b",".join(texts) == whole[1:-1]
