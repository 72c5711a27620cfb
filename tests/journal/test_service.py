"""Every database: opening, closing, limits and lists."""

import asyncio
import re
import time

import pytest
from msgspec.structs import replace

from durable import metrics
from durable.journal.errors import JournalBusy, JournalClosed
from durable.journal.journal import Journal
from durable.journal.writer import HANDFUL
from durable.units import RunView
from tests.journal import samples
from tests.journal.conftest import Place

pytestmark = pytest.mark.anyio


async def test_closing_commits_queued_units(place: Place) -> None:
    journal = await place.open()
    waiting = [journal.admit(samples.admission(f"{number:04}")) for number in range(1_500)]

    await journal.close()

    assert all(future.done() and not future.exception() for future in waiting)
    reopened = await place.open()
    assert len(await reopened.list_runs(limit=2_000)) == 1_500
    await reopened.close()


def _commits() -> int:
    found = re.search(rb"^waypost_commits_total (\S+)", metrics.render_metrics(), re.MULTILINE)
    return int(float(found[1])) if found else 0


async def test_units_of_one_turn_of_the_event_loop_share_a_commit(journal: Journal) -> None:
    await journal.is_writable()
    before = _commits()

    waiting = [journal.admit(samples.admission(f"{number}")) for number in range(10)]
    await asyncio.gather(*waiting)

    assert _commits() - before == 1


async def test_an_endless_turn_of_the_event_loop_does_not_delay_a_commit(journal: Journal) -> None:
    before = _commits()
    waiting = [journal.admit(samples.admission(f"{number}")) for number in range(HANDFUL)]

    deadline = time.monotonic() + 10
    while _commits() == before and time.monotonic() < deadline:
        pass  # the loop is not free

    assert _commits() > before
    await asyncio.gather(*waiting)


async def test_a_closed_journal_accepts_no_unit(place: Place) -> None:
    journal = await place.open()
    await journal.close()
    await journal.close()

    with pytest.raises(JournalClosed):
        journal.admit(samples.admission("1"))
    assert not await journal.is_writable()


async def test_too_many_waiting_units_refuse_new_events_but_no_append(place: Place) -> None:
    journal = await place.open(max_waiting=2)
    run = await samples.a_run(journal)

    waiting = [journal.admit(samples.admission("2")), journal.admit(samples.admission("3"))]
    with pytest.raises(JournalBusy, match="2 units wait"):
        journal.admit(samples.admission("4"))
    with pytest.raises(JournalBusy):
        journal.add_delivery(samples.delivery("delivery-5"))
    await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)
    await asyncio.gather(*waiting)

    await journal.admit(samples.admission("4"))
    await journal.close()


async def test_a_working_journal_is_writable_and_undamaged(journal: Journal) -> None:
    await samples.a_run(journal)

    assert await journal.is_writable()
    assert await journal.is_writable()
    assert await journal.check_integrity() == []


async def test_pages_stay_stable_while_new_runs_arrive(journal: Journal) -> None:
    for number in range(10, 17):
        await samples.a_run(journal, str(number))

    first = await journal.list_runs(limit=3)
    await samples.a_run(journal, "17")
    second = await journal.list_runs(limit=3, after=first[-1].id)
    third = await journal.list_runs(limit=3, after=second[-1].id)

    assert [run.id for page in (first, second, third) for run in page] == [f"run-{n}" for n in range(16, 9, -1)]


async def test_lists_are_filtered(journal: Journal) -> None:
    for name, pipeline, trigger, status in (
        ("1", "orders", "shop", "running"),
        ("2", "orders", "api", "failed"),
        ("3", "mails", "shop", "failed"),
    ):
        view = RunView("failed", finished_at=1) if status == "failed" else samples.RUNNING
        run = samples.new_run(f"run-{name}", pipeline=pipeline, trigger=trigger, view=view)
        await journal.admit(replace(samples.admission(name), runs=[run]))

    assert [run.id for run in await journal.list_runs(pipeline="orders")] == ["run-2", "run-1"]
    assert [run.id for run in await journal.list_runs(status="failed")] == ["run-3", "run-2"]
    assert [run.id for run in await journal.list_runs(trigger="shop", status="failed")] == ["run-3"]
    assert [run.id for run in await journal.list_runs(event="event-2")] == ["run-2"]
    assert [found.id for found in await journal.list_deliveries(trigger="shop", limit=2)] == [
        "delivery-3",
        "delivery-2",
    ]
    assert [found.id for found in await journal.list_deliveries(after="delivery-2")] == ["delivery-1"]
    assert await journal.list_deliveries(trigger="none") == []


async def test_unfinished_runs_are_listed_oldest_first_in_pages(journal: Journal) -> None:
    for number in range(5):
        await samples.a_run(journal, str(number))
    await samples.a_run(journal, "9", RunView("failed", finished_at=1))

    first = await journal.list_unfinished(3)
    second = await journal.list_unfinished(3, after=first[-1].run)

    assert [run.run for run in first + second] == [f"run-{number}" for number in range(5)]
    assert {(run.due_at, run.recoveries, run.was_busy) for run in first} == {(5_000, 0, True)}


async def test_lookups_of_unknown_ids_return_nothing(journal: Journal) -> None:
    assert await journal.find_run("run-none") is None
    assert await journal.find_event("event-none") is None
    assert await journal.read_history("run-none") == []
    with pytest.raises(LookupError, match="no payload abc"):
        await journal.load_payload("abc")
