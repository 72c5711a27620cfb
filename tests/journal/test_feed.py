"""Every database: who watches learns what each commit has changed, and cursors say what was missed."""

import asyncio

import pytest

from durable.history.entries import WaitStarted
from durable.journal import feed as feeds
from durable.journal.errors import JournalError
from durable.journal.feed import Feed, Notes
from durable.journal.journal import Journal
from durable.units import Admission, RunView
from tests.journal import samples

pytestmark = pytest.mark.anyio

WAITING = RunView("waiting", due_at=5_000)


async def test_a_watch_of_a_run_wakes_after_the_commit_that_changes_it(journal: Journal) -> None:
    run = await samples.a_run(journal)
    other = await samples.a_run(journal, "2")
    with journal.feed.watch(f"run:{run}") as watch:
        await journal.append(other, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)
        await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)

        assert await watch.wait() == {f"run:{run}"}
        assert [number for number, _ in await journal.read_history(run)] == [1, 2]


async def test_a_change_between_reading_and_waiting_is_not_missed(journal: Journal) -> None:
    run = await samples.a_run(journal)
    with journal.feed.watch(f"run:{run}") as watch:
        for after in (1, 2, 3):  # three commits are one reason to read again
            await journal.append(run, 1, after, [samples.make_step_scheduled()], samples.RUNNING)
        await asyncio.sleep(0)

        assert await watch.wait() == {f"run:{run}"}
        assert await watch.wait(0.01) == set()


async def test_a_watch_of_a_kind_sees_status_changes_without_entries(journal: Journal) -> None:
    run = await samples.a_run(journal)
    with journal.feed.watch("runs", "waits") as watch:
        await journal.pause(run, "it was recovered five times")
        assert await watch.wait() == {"runs", "waits"}

        await journal.remove("runs", [run], 0)
        assert await watch.wait(0.01) == set(), "it was not removed"

        await journal.append(run, 1, 1, [WaitStarted(at=2_000, path="ask", awaits=())], WAITING)
        assert await watch.wait() == {"runs", "waits"}

        await journal.append(run, 1, 2, [samples.make_step_scheduled()], samples.RUNNING)
        assert await watch.wait() == {"runs"}


async def test_deliveries_events_and_schedules_are_kinds(journal: Journal) -> None:
    with journal.feed.watch("deliveries", "events", "schedules") as watch:
        await journal.admit(samples.admission("1"))
        assert await watch.wait() == {"deliveries", "events"}

        await journal.add_delivery(samples.delivery("filtered"))
        assert await watch.wait() == {"deliveries"}

        await journal.forget_schedule("nightly")
        assert await watch.wait() == {"schedules"}


async def test_a_refused_unit_wakes_nobody(journal: Journal) -> None:
    run = await samples.a_run(journal)
    with journal.feed.watch("runs") as watch:
        with pytest.raises(JournalError):
            await journal.append(run, 1, 7, [samples.make_step_scheduled()], samples.RUNNING)
        broken = samples.new_run("run-2", view=RunView("running", due_at=samples.TOO_BIG))
        with pytest.raises(JournalError):  # which rolls its transaction back
            await journal.admit(Admission(samples.event("event-2"), [broken]))

        assert await watch.wait(0.01) == set()


async def test_a_cursor_names_the_runs_that_changed_after_it_each_once(journal: Journal) -> None:
    first, second = await samples.a_run(journal), await samples.a_run(journal, "2")
    with journal.feed.watch("runs") as watch:
        start = journal.feed.cursor
        await journal.append(first, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)
        await journal.append(second, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)
        await journal.append(second, 1, 2, [samples.make_step_scheduled("ship")], samples.RUNNING)
        await watch.wait()

        changes = journal.feed.list_changes(start)
        assert changes
        assert changes.runs == [second, first]
        later = journal.feed.list_changes(changes.cursor)
        assert later
        assert not later.runs


async def test_nothing_is_noted_while_nobody_watches(journal: Journal) -> None:
    await samples.a_run(journal)
    assert not journal.feed.is_watched
    assert journal.feed.count_notes() == 0


async def test_a_cursor_outlives_a_short_absence_and_no_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed("node-1")
    with feed.watch("runs"):
        cursor = feed.cursor
    feed.publish(Notes([("runs", "run-1")], is_complete=True))
    changes = feed.list_changes(cursor)
    assert changes
    assert changes.runs == ["run-1"], "the changes are noted for some time"

    monkeypatch.setattr(feeds, "LINGER_SECONDS", 0.0)
    with feed.watch("runs"):
        pass
    while feed.is_watched:
        await asyncio.sleep(0)
    assert feed.list_changes(cursor) is None


@pytest.mark.parametrize("cursor", ["", "node-1", "node-1-", "node-1--1", "node-1-9", "node-2-0", "node-1-²"])
async def test_a_cursor_that_is_not_of_this_feed_is_unknown(cursor: str) -> None:
    assert Feed("node-1").list_changes(cursor) is None


async def test_only_so_many_changed_runs_are_remembered() -> None:
    feed = Feed("node-1")
    with feed.watch("runs"):
        start = feed.cursor
        feed.publish(Notes([("runs", f"run-{n}") for n in range(feeds.CHANGES_LIMIT)], is_complete=True))
        full = feed.list_changes(start)
        assert full
        assert len(full.runs) == feeds.CHANGES_LIMIT

        feed.publish(Notes([("runs", "run-new")], is_complete=True))
        assert feed.list_changes(start) is None
        last = feed.list_changes(full.cursor)
        assert last
        assert last.runs == ["run-new"]


async def test_a_batch_that_began_unwatched_wakes_everybody() -> None:
    feed = Feed("node-1")
    with feed.watch("run:run-1") as watch, feed.watch("bulks") as other:
        start = feed.cursor
        feed.publish(Notes([], is_complete=False))

        assert await watch.wait() == {"run:run-1"}
        assert await other.wait() == {"bulks"}
        assert feed.list_changes(start) is None


async def test_many_watches_are_woken_in_several_turns_of_the_loop() -> None:
    feed = Feed("node-1")
    watches = [feed.watch("run:run-1") for _ in range(feeds.WAKES_A_TURN * 3)]
    for watch in watches:
        watch.__enter__()

    feed.publish(Notes([("runs", "run-1")], is_complete=True))
    assert sum(watch.signal.is_set() for watch in watches) == feeds.WAKES_A_TURN
    await asyncio.gather(*(watch.wait() for watch in watches))
