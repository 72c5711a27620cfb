"""The bound on runs that descend from one event: counted from rows, checked before anything is written."""

import asyncio
import sqlite3

import pytest
from msgspec.structs import replace

from durable.journal.errors import TooManyRuns
from durable.journal.journal import Journal
from durable.journal.runs import RunWrites
from durable.journal.sqlite.database import SQLite
from durable.units import Admission, DedupeKey, Descent, SlotRequest
from tests.journal import samples
from tests.journal.conftest import Place, SQLitePlace

pytestmark = pytest.mark.anyio

DESCENT = Descent("event-0", limit=3)


def _make_admission(name: str, *runs: str, descent: Descent | None = DESCENT, **more: object) -> Admission:
    new = [samples.new_run(run) for run in runs]
    key = DedupeKey("flow", name, until=2_000)
    return Admission(samples.event(f"event-{name}"), new, [key], keeps_keys=True, descent=descent, **more)  # type: ignore[arg-type]  # by name


async def _numbers(journal: Journal) -> list[tuple[str | None, int | None]]:
    """The origin and the number of each run, the oldest first."""
    return [(run.origin, run.nth) for run in reversed(await journal.list_runs(limit=200))]


async def test_the_runs_that_descend_from_an_event_are_numbered(journal: Journal) -> None:
    await journal.admit(_make_admission("0", "run-0", descent=None))
    await journal.admit(_make_admission("1", "run-1", "run-2"))
    await journal.admit(_make_admission("2", "run-3"))

    assert await _numbers(journal) == [(None, None), ("event-0", 1), ("event-0", 2), ("event-0", 3)]


async def test_a_refused_event_leaves_nothing(journal: Journal) -> None:
    await journal.admit(_make_admission("1", "run-1", "run-2"))
    refused = replace(_make_admission("2", "run-3", "run-4"), event=samples.event("event-2", data=samples.LARGE))

    with pytest.raises(TooManyRuns) as met:
        await journal.admit(refused)

    assert (met.value.origin, met.value.count, met.value.limit) == ("event-0", 2, 3)
    assert await journal.find_event("event-2") is None
    assert len(await journal.list_runs()) == 2
    again = await journal.admit(_make_admission("2", "run-5"))
    assert (again.runs, again.is_duplicate) == (("run-5",), False), "the key was not taken"


async def test_a_duplicate_is_answered_as_such_at_the_bound(journal: Journal) -> None:
    first = await journal.admit(_make_admission("1", "run-1", "run-2", "run-3"))

    again = await journal.admit(_make_admission("1", "run-4", "run-5", "run-6"))

    assert again.is_duplicate
    assert again.runs == first.runs


async def test_an_event_that_starts_nothing_is_accepted_at_the_bound(journal: Journal) -> None:
    await journal.admit(_make_admission("1", "run-1", "run-2", "run-3"))

    assert not (await journal.admit(_make_admission("2"))).is_duplicate


async def test_each_event_counts_only_its_own_runs(journal: Journal) -> None:
    await journal.admit(_make_admission("1", "run-1", "run-2", "run-3"))
    await journal.admit(_make_admission("2", "run-4", descent=Descent("event-9", limit=3)))

    assert (await _numbers(journal))[-1] == ("event-9", 1)


async def test_units_of_one_commit_count_each_other(journal: Journal) -> None:
    units = [journal.admit(_make_admission(f"{number:03}", f"run-{number:03}")) for number in range(100)]

    answers = await asyncio.gather(*units, return_exceptions=True)

    assert [type(answer) for answer in answers].count(TooManyRuns) == 97
    assert await _numbers(journal) == [("event-0", 1), ("event-0", 2), ("event-0", 3)]


async def test_a_retried_unit_renumbers_its_runs(journal: Journal) -> None:
    broken = replace(_make_admission("2", "run-2"), event=samples.event("event-2", time=samples.TOO_BIG))
    units = [journal.admit(each) for each in (_make_admission("1", "run-1"), broken, _make_admission("3", "run-3"))]

    await asyncio.gather(*units, return_exceptions=True)

    assert await _numbers(journal) == [("event-0", 1), ("event-0", 2)]


async def test_a_run_that_is_skipped_takes_no_number(journal: Journal) -> None:
    one_at_once = SlotRequest("orders", 1, "skip")
    runs = [replace(samples.new_run(name), slot_request=one_at_once) for name in ("run-1", "run-2")]
    await journal.admit(replace(_make_admission("1"), runs=[*runs, samples.new_run("run-3")]))

    assert await _numbers(journal) == [("event-0", 1), ("event-0", 2)]


async def test_the_count_continues_after_a_restart(place: Place) -> None:
    journal = await place.open()
    await journal.admit(_make_admission("1", "run-1", "run-2"))
    await journal.close()

    journal = await place.open()
    await journal.admit(_make_admission("2", "run-3"))
    with pytest.raises(TooManyRuns):
        await journal.admit(_make_admission("3", "run-4"))
    await journal.close()


async def test_the_count_is_right_when_old_runs_are_deleted(place: SQLitePlace, journal: Journal) -> None:
    await journal.admit(_make_admission("1", "run-1", "run-2", "run-3"))
    with sqlite3.connect(SQLite(place.folder).path) as connection:
        connection.execute("DELETE FROM runs WHERE id <> 'run-3'")
    connection.close()

    with pytest.raises(TooManyRuns):
        await journal.admit(_make_admission("2", "run-4"))


async def test_the_count_reads_one_entry_of_an_index(place: SQLitePlace, journal: Journal) -> None:
    database = SQLite(place.folder)
    with sqlite3.connect(database.path) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {RunWrites(database.sql()).find_last_number_sql}", {"origin": "event-0"}
        )
        found = [row[3] for row in plan.fetchall()]
    connection.close()

    assert found == ["SEARCH runs USING COVERING INDEX runs_origin (origin=?)"]
