"""Every database: lists filtered by tags and bounds, histories in pages, and API keys."""

import pytest
from msgspec.structs import replace

from durable.history.entries import RunFinished
from durable.journal.journal import Journal
from durable.units import Admission, ApiKey, NewRun, RunView
from tests.journal import samples
from tests.journal.conftest import Place

pytestmark = pytest.mark.anyio

FINISHED = RunView("completed", finished_at=3_000)
KEY = ApiKey("key-1", "the reader", "read", "00ff", 1_000)


async def _make_tagged_run(journal: Journal, name: str, *tags: str) -> NewRun:
    run = replace(samples.new_run(f"run-{name}"), tags=tags)
    await journal.admit(Admission(samples.event(f"event-{name}"), [run]))
    return run


async def test_runs_are_found_by_their_tags_and_show_them(journal: Journal) -> None:
    for name, tags in (("1", ("red", "blue")), ("2", ()), ("3", ("red",))):
        await _make_tagged_run(journal, name, *tags)

    assert [(run.id, run.tags) for run in await journal.list_runs()] == [
        ("run-3", ("red",)),
        ("run-2", ()),
        ("run-1", ("blue", "red")),
    ]
    assert [run.id for run in await journal.list_runs(tag="red")] == ["run-3", "run-1"]
    assert [run.id for run in await journal.list_runs(tag="red", after="run-3")] == ["run-1"]
    assert await journal.list_runs(tag="green") == []
    found = await journal.find_run("run-1")
    assert found is not None
    assert found.tags == ("blue", "red")


async def test_the_first_runs_of_an_event_are_found_behind_any_number_of_repeats(journal: Journal) -> None:
    first = await _make_tagged_run(journal, "1")
    for number in range(2, 5):
        run = replace(samples.new_run(f"run-{number}"), source=first.id)
        await journal.admit(Admission(samples.event("event-1"), [run], is_recorded=True))

    assert [run.id for run in await journal.list_runs(event="event-1", limit=3)] == ["run-4", "run-3", "run-2"]
    assert [run.id for run in await journal.list_runs(event="event-1", is_first=True, limit=3)] == ["run-1"]


async def test_an_ended_run_is_found_by_its_status_and_by_no_other(journal: Journal) -> None:
    await _make_tagged_run(journal, "1", "red")
    await _make_tagged_run(journal, "2", "red")
    await journal.append("run-1", 1, 1, [RunFinished(at=3_000, status="completed")], FINISHED)

    assert [run.id for run in await journal.list_runs(status="completed", tag="red")] == ["run-1"]
    assert [run.id for run in await journal.list_runs(status="running", pipeline="orders")] == ["run-2"]
    assert await journal.list_runs(status="failed") == []
    assert await journal.find_statuses(["run-1", "run-2", "run-9"]) == {"run-1": "completed", "run-2": "running"}


async def test_runs_are_found_between_two_ids(journal: Journal) -> None:
    for name in "12345":
        await _make_tagged_run(journal, name)

    assert [run.id for run in await journal.list_runs(since="run-2", before="run-5")] == ["run-4", "run-3", "run-2"]
    assert [run.id for run in await journal.list_runs(since="run-2", before="run-5", after="run-3")] == ["run-2"]


async def test_a_history_is_read_from_the_middle_of_an_append(journal: Journal) -> None:
    run = await samples.a_run(journal)
    first, second, third = (
        samples.make_step_scheduled("a"),
        samples.make_step_completed("a"),
        samples.make_step_scheduled("b"),
    )
    await journal.append(run, 1, 1, [first, second, third], samples.RUNNING)
    await journal.append(run, 1, 4, [samples.make_step_completed("b")], samples.RUNNING)
    whole = await journal.read_history(run)

    assert [number for number, _ in whole] == [1, 2, 3, 4, 5]
    for after in range(7):
        for limit in (1, 2, 10):
            assert await journal.read_history(run, after, limit) == whole[after : after + limit]
        assert await journal.read_history(run, after) == whole[after:]


async def test_an_api_key_is_stored_and_revoked_once(place: Place) -> None:
    journal = await place.open()
    await journal.add_key(KEY)
    assert await journal.revoke_key("key-1", 2_000)
    assert not await journal.revoke_key("key-1", 3_000)
    assert not await journal.revoke_key("key-2", 3_000)
    await journal.close()

    reopened = await place.open()
    assert await reopened.list_keys() == [replace(KEY, revoked_at=2_000)]
    await reopened.close()
