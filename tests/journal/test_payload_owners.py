"""Who refers to a payload is recorded in the commit that refers to it."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from durable.durations import parse_duration
from durable.history.encoding import encode_entries
from durable.journal.journal import Journal
from durable.journal.migrate import migrate
from durable.journal.sqlite.database import SQLite
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.upgrade import MIGRATIONS
from durable.units import Admission, DedupeKey, NewRun
from durable.values import INLINE_LIMIT, Value
from tests.journal import samples
from tests.journal.conftest import SQLitePlace

pytestmark = pytest.mark.anyio

OTHER = Value.of("y" * (INLINE_LIMIT + 1))


def read_owners(file: Path) -> set[tuple[str, str]]:
    """Pairs of a payload and an owner; fails if a payload has none, or an owner none."""
    with sqlite3.connect(file) as database:
        owners = set(database.execute("SELECT ref, owner FROM payload_owners"))
        stored = {ref for (ref,) in database.execute("SELECT ref FROM payloads")}
    database.close()
    assert {ref for ref, _ in owners} == stored
    return owners


async def test_the_rows_that_refer_to_a_payload_own_it(tmp_path: Path) -> None:
    journal = await SQLitePlace(tmp_path).open()
    run = NewRun(
        "run-1", "orders", "v1", None, 1_000, [samples.make_run_started(inputs=samples.LARGE)], samples.RUNNING
    )
    await journal.admit(Admission(samples.event("event-1", data=samples.LARGE), [run]))
    await journal.append("run-1", 1, 1, [samples.make_step_completed(output=OTHER)], samples.RUNNING)
    await journal.post("run-1", "answer", OTHER, 2_000)
    await journal.close()

    assert read_owners(tmp_path / FILE_NAME) == {
        (samples.LARGE.ref, "event-1"),
        (samples.LARGE.ref, "run-1"),
        (OTHER.ref, "run-1"),
    }


async def test_a_stored_payload_that_is_not_in_memory_gets_another_owner(tmp_path: Path) -> None:
    journal = await SQLitePlace(tmp_path).open()
    await journal.admit(Admission(samples.event("event-2", data=samples.LARGE)))
    await samples.a_run(journal)
    entry = samples.make_step_completed(output=samples.LARGE.reference())
    await journal.append("run-1", 1, 1, [entry], samples.RUNNING)
    await journal.close()

    assert read_owners(tmp_path / FILE_NAME) == {(samples.LARGE.ref, "event-2"), (samples.LARGE.ref, "run-1")}


async def test_a_duplicate_leaves_no_payload_behind(journal: Journal, tmp_path: Path) -> None:
    key = DedupeKey("shop", "key", parse_duration("7d"))
    await journal.admit(samples.admission("1", key))
    await journal.admit(Admission(samples.event("event-2", data=samples.LARGE), [samples.new_run("run-2")], [key]))

    assert read_owners(tmp_path / "data" / FILE_NAME) == set()


def test_the_owners_of_earlier_payloads_are_found_when_the_journal_is_upgraded(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with SQLite(tmp_path).migrations().begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
    data, large = encode_entries([samples.make_step_completed(output=samples.LARGE)])
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("INSERT INTO entries (run, sequence, entries) VALUES ('run-1', 1, ?)", [data])
        database.executemany(
            "INSERT INTO payloads (ref, data) VALUES (?, ?)", [*large.items(), ("0" * 64, b"nothing refers to it")]
        )
    database.close()

    migrate(SQLite(tmp_path).migrations())

    assert read_owners(tmp_path / FILE_NAME) == {(samples.LARGE.ref, "run-1")}
