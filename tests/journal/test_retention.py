"""What is old is removed with everything that belongs to it, and nothing else is."""

import asyncio
import re
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.history.entries import RunFinished
from durable.ids import make_id
from durable.journal import retention
from durable.journal.journal import Journal
from durable.journal.sqlite.files import FILE_NAME
from durable.runner.retention import Retention
from durable.units import Admission, DedupeKey, Descent, RunView, SideEffects
from durable.values import INLINE_LIMIT, Value
from tests.bench.retention import Clock, Policies, add_run
from tests.journal import samples
from tests.journal.conftest import SQLitePlace

pytestmark = pytest.mark.anyio

LATER = 3_000
DESCENT = Descent("event-0", limit=3)
LARGE = [Value.of(letter * (INLINE_LIMIT + 1)) for letter in "abc"]


async def end(journal: Journal, run: str, at: int = 2_000, status: Any = "completed", after: int = 1) -> None:
    entry = RunFinished(at=at, status=status)
    await journal.append(
        run, 1, after, [entry], RunView(status, finished_at=at), side_effects=SideEffects(has_ended=True)
    )


def read_tables(folder: Path) -> dict[str, int]:
    """The number of rows of every table that is not empty."""
    with sqlite3.connect(folder / FILE_NAME) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        counts = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
    database.close()
    return {name: count for name, count in counts.items() if count and not name.startswith(("sqlite_", "alembic"))}


async def test_a_run_is_removed_with_everything_that_belongs_to_it(journal: Journal, tmp_path: Path) -> None:
    run = samples.new_run("run-1", entries=[samples.make_run_started(inputs=samples.LARGE)])
    await journal.admit(Admission(samples.event("event-1", data=samples.LARGE), [run], [DedupeKey("shop", "k", 9_000)]))
    await end(journal, "run-1")

    assert await journal.remove("runs", ["run-1"], LATER) == 1

    assert read_tables(tmp_path / "data") == {"claims": 1}  # outlives its run


async def test_a_run_that_has_not_ended_or_ended_later_is_kept(journal: Journal) -> None:
    await samples.a_run(journal, "1")
    await samples.a_run(journal, "2")
    await end(journal, "run-2", at=LATER)

    assert await journal.remove("runs", ["run-1", "run-2", "run-3"], LATER) == 0
    assert len(await journal.list_runs()) == 2


async def test_an_event_is_kept_as_long_as_a_run_refers_to_it(journal: Journal) -> None:
    await journal.admit(Admission(samples.event("event-1"), [samples.new_run("run-1"), samples.new_run("run-2")]))
    await end(journal, "run-1")
    await end(journal, "run-2")

    await journal.remove("runs", ["run-1"], LATER)
    assert await journal.remove("events", ["event-1"], LATER) == 0
    assert await journal.find_event("event-1") is not None

    await journal.remove("runs", ["run-2"], LATER)
    assert await journal.find_event("event-1") is None


async def test_the_newest_run_of_a_chain_is_kept_while_the_chain_can_go_on(journal: Journal) -> None:
    await journal.admit(Admission(samples.event("event-0"), [samples.new_run("run-0")]))
    for number in "12":
        event = samples.event(f"event-{number}")
        await journal.admit(Admission(event, [samples.new_run(f"run-{number}")], descent=DESCENT))
        await end(journal, f"run-{number}")

    assert await journal.remove("runs", ["run-1", "run-2"], LATER) == 1
    await journal.admit(Admission(samples.event("event-3"), [samples.new_run("run-3")], descent=DESCENT))
    (third, *_) = await journal.list_runs()
    assert (third.id, third.nth) == ("run-3", 3)

    await end(journal, "run-0")
    await end(journal, "run-3")
    assert await journal.remove("runs", ["run-0", "run-2", "run-3"], LATER) == 3


async def test_expired_dedupe_keys_are_removed_and_others_kept(journal: Journal) -> None:
    await journal.admit(samples.admission("1", DedupeKey("shop", "old", 2_000), DedupeKey("shop", "new", 9_000)))

    assert await journal.remove("dedupe_keys", [("shop", "old"), ("shop", "new")], LATER) == 1
    assert [key for _, key, _ in await journal.read(retention.list_keys, ("", ""))] == ["new"]


async def test_a_definition_is_removed_once_no_run_has_it(journal: Journal) -> None:
    await journal.add_definition("v1", "orders", b"{}", 1_000)
    await samples.a_run(journal)
    assert await journal.read(retention.list_unused_definitions, LATER) == []
    assert await journal.remove("definitions", ["v1"], LATER) == 0

    await end(journal, "run-1")
    await journal.remove("runs", ["run-1"], LATER)
    assert await journal.read(retention.list_unused_definitions, LATER) == ["v1"]
    assert await journal.remove("definitions", ["v1"], LATER) == 1


async def test_a_long_bulk_is_removed_in_pages(journal: Journal, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "data" / FILE_NAME) as database:
        for bulk, ended in (("blk-1", 2_000), ("blk-2", None)):
            database.execute(
                "INSERT INTO bulks (id, action, filter, by, rate, status, total, is_exact, done, refused, created_at,"
                " finished_at) VALUES (?, 'cancel', x'', 'ops', 1, 'completed', 0, 1, 0, 0, 1000, ?)",
                (bulk, ended),
            )
            items = [(bulk, f"run-{number}") for number in range(retention.PAGE + 1)]
            database.executemany("INSERT INTO bulk_items (bulk, item, outcome) VALUES (?, ?, 'done')", items)
    database.close()

    assert await journal.read(retention.list_bulks, LATER) == ["blk-1"]
    assert [await journal.remove("bulks", ["blk-1"], LATER) for _ in range(3)] == [0, 1, 0]
    assert read_tables(tmp_path / "data") == {"bulks": 1, "bulk_items": retention.PAGE + 1}
    assert await journal.remove("bulks", ["blk-2"], LATER) == 0  # it was resumed after it was found
    assert read_tables(tmp_path / "data") == {"bulks": 1, "bulk_items": retention.PAGE + 1}


async def test_ended_runs_are_found_by_status_age_and_number(journal: Journal) -> None:
    runs = [make_id("run", at, 0) for at in (1_000, 1_001, 1_002, 1_003)]
    for number, run in enumerate(runs):
        await journal.admit(Admission(samples.event(f"event-{number}"), [samples.new_run(run)]))
    await end(journal, runs[0])
    await end(journal, runs[1], status="failed")
    await end(journal, runs[2], at=LATER)

    async def find(status: Any, last: str | None = None) -> list[str]:
        return [run.id for run in await journal.read(retention.list_ended, "orders", status, LATER, last, "")]

    assert await journal.read(retention.list_pipelines) == ["orders"]
    assert (await find("completed"), await find("failed"), await find("cancelled")) == ([runs[0]], [runs[1]], [])
    assert await journal.read(retention.find_last_beyond, "orders", 1) == runs[1]
    assert await journal.read(retention.find_last_beyond, "orders", 3) is None
    assert await find("completed", last=runs[1]) == [runs[0]]


async def test_free_pages_are_given_back(journal: Journal) -> None:
    for number in range(20):
        run = samples.new_run(f"run-{number}", entries=[samples.make_run_started(inputs=LARGE[0])])
        data = Value.of(str(number) * (INLINE_LIMIT + 1))
        await journal.admit(Admission(samples.event(f"event-{number}", data=data), [run]))
        await end(journal, f"run-{number}")
    await journal.remove("runs", [f"run-{number}" for number in range(20)], LATER)
    before = await journal.measure_space()

    given = await journal.shrink(100)

    after = await journal.measure_space()
    assert given == 100
    assert before.free - after.free >= 100 * before.page
    assert before.database - after.database == before.free - after.free


async def test_the_file_stops_growing_once_as_much_is_removed_as_arrives(journal: Journal) -> None:
    clock = Clock()
    keeper = Retention(
        journal,
        Policies(10 * 60_000),
        delivery_age=None,
        event_age=None,
        audit_age=None,
        needs_version=lambda version: True,
        now=clock,
    )
    sizes: list[int] = []
    for minute in range(40):
        await asyncio.gather(*(add_run(journal, clock.at, minute * 20 + number) for number in range(20)))
        await keeper.make_pass()
        sizes.append((await journal.measure_space()).database)
        clock.at += 60_000

    assert 200 <= await journal.read(retention.count_rows, "runs") <= 240
    assert sizes[-1] <= 1.1 * sizes[15]


# -- payloads ---------------------------------------------------------------------------------------------------


values = st.sampled_from([*LARGE, Value.of("small")])
numbers = st.integers(0, 3)
operations = st.one_of(
    st.tuples(st.just("admit"), numbers, values, values),
    st.tuples(st.just("append"), numbers, values),
    st.tuples(st.just("post"), numbers, values),
    st.tuples(st.just("end"), numbers),
    st.tuples(st.sampled_from(["runs", "events"]), numbers),
)


def read_references(folder: Path) -> tuple[set[str], set[str]]:
    """The payloads that rows refer to, and those that are stored."""
    found: set[str] = set()
    with sqlite3.connect(folder / FILE_NAME) as database:
        for table, column in (("entries", "entries"), ("inbox", "data"), ("events", "data")):
            for (data,) in database.execute(f"SELECT {column} FROM {table}"):
                found.update(ref.decode() for ref in re.findall(rb'"ref":"([0-9a-f]{64})"', data))
        stored = {ref for (ref,) in database.execute("SELECT ref FROM payloads")}
    database.close()
    return found, stored


class World:
    """A journal and what is in it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.lengths: dict[str, int] = {}

    async def do(self, operation: Any) -> None:
        kind, number, *rest = operation
        journal, run = self.journal, f"run-{number}"
        match kind:
            case "admit" if await journal.find_event(f"event-{number}") is None and not await journal.find_run(run):
                of_event, of_run = rest
                new = samples.new_run(run, entries=[samples.make_run_started(inputs=of_run)])
                await journal.admit(Admission(samples.event(f"event-{number}", data=of_event), [new]))
                self.lengths[run] = 1
            case "append" if await self.is_live(run):
                await journal.append(
                    run, 1, self.lengths[run], [samples.make_step_completed(output=rest[0])], samples.RUNNING
                )
                self.lengths[run] += 1
            case "post":
                await journal.post(run, "answer", rest[0], 1_000)
            case "end" if await self.is_live(run):
                await end(journal, run, after=self.lengths[run])
            case "runs" | "events":
                await journal.remove(kind, [f"{kind[:-1]}-{number}"], LATER)

    async def is_live(self, run: str) -> bool:
        found = await self.journal.find_run(run)
        return found is not None and found.finished_at is None


@settings(max_examples=25, deadline=None)
@given(st.lists(operations, min_size=5, max_size=40))
def test_a_payload_exists_if_and_only_if_something_refers_to_it(done: list[Any]) -> None:
    async def check(folder: Path) -> None:
        journal = await SQLitePlace(folder).open()
        world = World(journal)
        for operation in done:
            await world.do(operation)
        referred, stored = await asyncio.to_thread(read_references, folder)
        assert referred <= stored
        # A message that was dropped at the end of its run leaves its payload to the run.
        assert referred == stored or any(kind == "post" for kind, *_ in done)
        for number in range(4):
            for kind in ("end", "runs", "events"):
                await world.do((kind, number))
        await journal.close()
        assert read_references(folder) == (set(), set())

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))
