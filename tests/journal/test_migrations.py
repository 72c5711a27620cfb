"""SQLite only: the tables match the models, and a journal of another version is refused."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from durable.journal.errors import DataFolderUnusable, TooManyRuns
from durable.journal.journal import Journal
from durable.journal.migrate import HEAD, migrate, read_version
from durable.journal.reads import open_reader
from durable.journal.sqlite.database import SQLite
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.tables import TableRow
from durable.journal.upgrade import MIGRATIONS, upgrade
from durable.units import Admission, Descent
from tests.journal import samples
from tests.journal.conftest import SQLitePlace

pytestmark = pytest.mark.anyio


def schema(file: Path) -> set[str]:
    """The statements that created the schema, except for Alembic's own table, which names its key."""
    with sqlite3.connect(file) as connection:
        found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql NOT LIKE '%alembic%'").fetchall()
    connection.close()
    return {" ".join(sql.split()) for (sql,) in found}


def make_migrated_database(folder: Path) -> SQLite:
    """A database after all migrations."""
    folder.mkdir()
    database = SQLite(folder)
    with database.migrations().begin() as connection:
        upgrade(connection, HEAD)
    return database


def test_an_empty_database_is_brought_to_the_newest_version_once(tmp_path: Path) -> None:
    database = SQLite(tmp_path)

    assert migrate(database.migrations())
    assert not migrate(database.migrations())

    engine = database.migrations()
    with engine.connect() as connection:
        assert read_version(connection) == HEAD


def test_the_newest_version_is_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_the_migrations_create_the_tables_of_the_models(tmp_path: Path) -> None:
    with make_migrated_database(tmp_path / "migrated").migrations().connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), TableRow.metadata) == []
        assert read_version(connection) == HEAD


def test_an_empty_database_gets_the_tables_of_the_migrations(tmp_path: Path) -> None:
    make_migrated_database(tmp_path / "migrated")
    migrate(SQLite(tmp_path).migrations())

    assert schema(tmp_path / FILE_NAME) == schema(tmp_path / "migrated" / FILE_NAME)


def test_a_created_database_is_upgraded_by_later_migrations(tmp_path: Path) -> None:
    database = SQLite(tmp_path)
    migrate(database.migrations())
    with database.migrations().begin() as connection:
        upgrade(connection, HEAD)  # Alembic reads the recorded version and finds nothing to do
        assert read_version(connection) == HEAD


@pytest.mark.parametrize(("version", "advice"), [("9999", "update Waypost"), ("0000", "start the service once")])
async def test_a_reader_refuses_another_version(tmp_path: Path, version: str, advice: str) -> None:
    migrate(SQLite(tmp_path).migrations())
    store_version(tmp_path, version)

    with pytest.raises(DataFolderUnusable, match=advice):
        await open_reader(tmp_path)


async def test_the_runs_of_an_earlier_version_are_kept_and_descend_from_no_event(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with SQLite(tmp_path).migrations().begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute(
            "INSERT INTO runs (id, pipeline, version, event, status, epoch, sequence, recoveries, created_at,"
            " claimed_at) VALUES ('run-0', 'orders', 'v1', 'event-0', 'running', 1, 1, 0, 1000, 1000)"
        )
    database.close()

    journal = await SQLitePlace(tmp_path).open()
    run = await journal.find_run("run-0")
    assert run is not None
    assert (run.status, run.origin, run.nth) == ("running", None, None)
    await _admit(journal, "1")
    with pytest.raises(TooManyRuns, match="1 of 1 runs descend from the event event-0 already"):
        await _admit(journal, "2")
    await journal.close()


async def _admit(journal: Journal, name: str) -> None:
    event, run = samples.event(f"event-{name}"), samples.new_run(f"run-{name}")
    await journal.admit(Admission(event, [run], descent=Descent("event-0", limit=1)))


async def test_a_journal_of_a_newer_version_is_refused_and_its_folder_released(tmp_path: Path) -> None:
    migrate(SQLite(tmp_path).migrations())
    store_version(tmp_path, "9999")
    with pytest.raises(DataFolderUnusable, match="written by a newer Waypost"):
        await SQLitePlace(tmp_path).open()

    store_version(tmp_path, HEAD)
    await (await SQLitePlace(tmp_path).open()).close()


def store_version(folder: Path, version: str) -> None:
    connection = sqlite3.connect(folder / FILE_NAME)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
