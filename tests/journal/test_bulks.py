"""Every database: what a bulk selects, and how its items and its status are recorded."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from durable.bulks import Bulk, BulkFilter, BulkItem
from durable.history.entries import RunFinished
from durable.ids import make_id
from durable.journal.bulks import (
    find_bulk,
    list_bulk_items,
    list_bulks,
    list_next_matches,
    list_unfinished_bulks,
    measure_matches,
)
from durable.journal.journal import Journal
from durable.journal.sqlite.files import FILE_NAME
from durable.units import Admission, RunView
from tests.journal import samples
from tests.journal.conftest import Place, SQLitePlace

pytestmark = pytest.mark.anyio

EVERY = BulkFilter(until=10_000)


def _make_bulk(**changes: object) -> Bulk:
    bulk = Bulk("blk-1", "cancel", EVERY, "ada", "an outage", 50, "running", 3, True, 9_000)
    return replace(bulk, **changes)


async def _start(journal: Journal, at: int, pipeline: str = "orders", *tags: str) -> str:
    run = replace(samples.new_run(make_id("run", at, 0), pipeline=pipeline), tags=tags)
    await journal.admit(Admission(samples.event(f"event-{at}"), [run]))
    return run.id


async def _end(journal: Journal, run: str, at: int) -> None:
    view = RunView("failed", finished_at=at)
    await journal.append(run, 1, 1, [RunFinished(at=at, status="failed")], view)


async def test_a_bulk_selects_the_runs_that_meet_every_condition_oldest_first(journal: Journal) -> None:
    first = await _start(journal, 1_000, "orders", "eu")
    second = await _start(journal, 2_000, "orders")
    third = await _start(journal, 3_000, "refunds", "eu")
    late = await _start(journal, 10_000)
    failed = await _start(journal, 4_000)
    await _end(journal, failed, 5_000)

    async def select(filter: BulkFilter, action: str = "cancel") -> list[str]:
        return await journal.read(list_next_matches, _make_bulk(action=action, filter=filter), 10)

    assert await select(EVERY) == [first, second, third]
    assert await select(BulkFilter(until=10_001)) == [first, second, third, late]
    assert await select(replace(EVERY, since=2_000)) == [second, third]
    assert await select(replace(EVERY, pipeline="orders", tag="eu")) == [first]
    assert await select(replace(EVERY, ids=(third, failed))) == [third]
    assert await select(replace(EVERY, trigger="nobody")) == []
    assert await select(replace(EVERY, status="failed"), "retry") == [failed]


async def test_what_follows_the_cursor_is_selected_next(journal: Journal) -> None:
    runs = [await _start(journal, at) for at in (1_000, 2_000, 3_000)]
    assert await journal.read(list_next_matches, _make_bulk(), 2) == runs[:2]
    assert await journal.read(list_next_matches, _make_bulk(cursor=runs[1]), 2) == runs[2:]


async def test_a_run_that_ended_after_the_bulk_was_created_is_not_selected(journal: Journal) -> None:
    run = await _start(journal, 1_000)
    await _end(journal, run, 9_000)
    of_failed = replace(EVERY, status="failed")
    assert await journal.read(list_next_matches, _make_bulk(action="retry", filter=of_failed), 10) == []
    later = _make_bulk(action="retry", filter=of_failed, created_at=9_001)
    assert await journal.read(list_next_matches, later, 10) == [run]


async def test_deliveries_are_selected_by_webhook_and_outcome(journal: Journal) -> None:
    first, second = (make_id("dlv", at, 0) for at in (1_000, 2_000))
    await journal.add_delivery(replace(samples.delivery(first), outcome="rejected"))
    await journal.add_delivery(replace(samples.delivery(second), outcome="filtered"))
    replay = _make_bulk(action="replay", filter=replace(EVERY, outcome="rejected", trigger="shop"))
    assert await journal.read(list_next_matches, replay, 10) == [first]
    replay = _make_bulk(action="replay", filter=replace(EVERY, ids=(first, second)))
    assert await journal.read(list_next_matches, replay, 10) == [first, second]


async def test_matches_are_counted_up_to_a_limit(journal: Journal) -> None:
    runs = [await _start(journal, at) for at in (1_000, 2_000, 3_000)]
    found = await journal.read(measure_matches, "cancel", EVERY, 3)
    assert (found.count, found.is_exact, found.oldest, found.newest) == (3, True, runs[0], runs[2])
    found = await journal.read(measure_matches, "cancel", EVERY, 2)
    assert (found.count, found.is_exact, found.newest) == (2, False, runs[2])
    found = await journal.read(measure_matches, "cancel", replace(EVERY, pipeline="none"), 2)
    assert (found.count, found.is_exact, found.oldest) == (0, True, None)


async def test_a_bulk_keeps_its_items_their_outcomes_and_its_cursor(place: Place) -> None:
    journal = await place.open()
    await journal.add_bulk(_make_bulk())
    await journal.add_bulk_items("blk-1", ["run-1", "run-2", "run-3"])
    await journal.add_bulk_items("blk-1", ["run-3"])
    outcomes = [BulkItem("run-1", "done", "run-9"), BulkItem("run-3", "refused", None, "it has ended")]
    await journal.keep_bulk_outcomes("blk-1", outcomes)
    await journal.close()

    journal = await place.open()
    assert await journal.read(find_bulk, "blk-1") == _make_bulk(done=1, refused=1, cursor="run-3")
    assert await journal.read(list_bulk_items, "blk-1", 10) == [outcomes[0], BulkItem("run-2"), outcomes[1]]
    assert await journal.read(list_bulk_items, "blk-1", 10, outcome="pending") == [BulkItem("run-2")]
    assert await journal.read(list_bulk_items, "blk-1", 10, "run-1", "refused") == [outcomes[1]]
    assert await journal.read(find_bulk, "blk-2") is None
    await journal.close()


async def test_a_status_changes_only_from_the_one_before(journal: Journal) -> None:
    await journal.add_bulk(_make_bulk())
    await journal.add_bulk(_make_bulk(id="blk-2", status="finished"))
    assert [bulk.id for bulk in await journal.read(list_bulks, 10)] == ["blk-2", "blk-1"]
    assert [bulk.id for bulk in await journal.read(list_bulks, 10, "blk-2")] == ["blk-1"]
    assert not await journal.resume_bulk("blk-1", 7)
    assert await journal.change_bulk_status("blk-1", "running", "stopping", None, "bob")
    assert not await journal.change_bulk_status("blk-1", "running", "finished", 1)
    assert [bulk.id for bulk in await journal.read(list_unfinished_bulks)] == ["blk-1"]
    assert await journal.change_bulk_status("blk-1", "stopping", "stopped", 9_500, "bob")
    stopped = await journal.read(find_bulk, "blk-1")
    assert stopped == _make_bulk(status="stopped", finished_at=9_500, stopped_by="bob")
    assert await journal.read(list_unfinished_bulks) == []
    assert await journal.resume_bulk("blk-1", 7)
    assert await journal.read(find_bulk, "blk-1") == _make_bulk(rate=7)


async def test_a_damaged_bulk_hides_no_other_and_keeps_no_service_from_its_start(tmp_path: Path) -> None:
    journal = await SQLitePlace(tmp_path).open()
    for number in range(3):
        await journal.add_bulk(_make_bulk(id=f"blk-{number}"))
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as database:
        database.execute("UPDATE bulks SET filter = '{' WHERE id = 'blk-1'")

    assert [bulk.id for bulk in await journal.read(list_unfinished_bulks)] == ["blk-0", "blk-2"]
    assert [bulk.id for bulk in await journal.read(list_bulks, 2)] == ["blk-2", "blk-0"]
    await journal.close()
