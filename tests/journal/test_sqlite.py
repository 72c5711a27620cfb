"""SQLite only: the file, the lock, and what happens when the process or the disk fails."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from durable.journal.dialect import Cursor
from durable.journal.errors import DataFolderInUse, DataFolderUnusable, JournalBusy, JournalFull
from durable.journal.journal import Journal
from durable.journal.reads import open_reader
from durable.journal.sqlite.database import SQLite
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.sqlite.folder import read_mounts
from tests.journal import samples
from tests.journal.conftest import SQLitePlace
from tests.journal.disk import clear_disk, fill_disk

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def child(task: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.journal.child", task, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def open_journal(folder: Path) -> Journal:
    return await SQLitePlace(folder).open()


# -- the file ---------------------------------------------------------------------------------------------------


async def test_the_writing_connection_flushes_every_commit(folder: Path) -> None:
    journal = await open_journal(folder)

    def pragmas(cursor: Cursor) -> dict[str, object]:
        found: dict[str, object] = {}
        for name in ("journal_mode", "synchronous", "auto_vacuum", "fullfsync", "checkpoint_fullfsync", "temp_store"):
            cursor.execute(f"PRAGMA {name}", {})
            found[name] = cursor.fetchone()[0]
        return found

    assert await journal._writer.submit(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "auto_vacuum": 2,
        "fullfsync": 1,
        "checkpoint_fullfsync": 1,
        "temp_store": 2,
    }
    await journal.close()


async def test_readers_cannot_write(folder: Path) -> None:
    journal = await open_journal(folder)
    engine = SQLite(folder).readers()

    with engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.execute(text("DELETE FROM runs"))

    engine.dispose()
    await journal.close()


async def test_closing_leaves_one_file_without_a_wal(folder: Path) -> None:
    journal = await open_journal(folder)
    await samples.a_run(journal)
    await journal.close()

    assert sorted(path.name for path in folder.iterdir()) == [FILE_NAME, "waypost.lock"]


# -- one process ------------------------------------------------------------------------------------------------


async def test_a_second_process_is_refused_with_the_owner_until_the_first_is_killed(folder: Path) -> None:
    with child("hold", folder) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"

        with pytest.raises(DataFolderInUse, match=rf"in use by process {holder.pid} on .+ since \d{{4}}-.+ --data"):
            await open_journal(folder)

        holder.kill()
    await (await open_journal(folder)).close()


async def test_a_reader_works_with_and_without_a_service(folder: Path) -> None:
    journal = await open_journal(folder)
    beside = await open_reader(folder)
    await samples.a_run(journal)
    assert await beside.find_run("run-1") is not None
    await beside.close()
    await journal.close()

    alone = await open_reader(folder)
    assert [run.id for run in await alone.list_runs()] == ["run-1"]
    await alone.close()


async def test_a_reader_reads_what_a_killed_service_left(folder: Path) -> None:
    with child("commit", folder) as writer:
        assert writer.stdout is not None
        run, _ = writer.stdout.readline().split()
        writer.kill()

    reader = await open_reader(folder)
    assert await reader.find_run(run) is not None
    await reader.close()


async def test_reading_a_folder_without_a_journal_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataFolderUnusable, match="there is no journal in"):
        await open_reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
async def test_a_process_that_locks_the_database_makes_the_journal_temporarily_busy(folder: Path) -> None:
    journal = await open_journal(folder)
    somebody = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")

    with pytest.raises(JournalBusy, match="another process holds the database"):
        await samples.a_run(journal)

    somebody.close()
    await samples.a_run(journal)
    await journal.close()


async def test_a_folder_that_cannot_be_used_is_refused_with_the_reason(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"something else " * 1_000)

    for _ in range(2):
        with pytest.raises(DataFolderUnusable, match=r"cannot be used: file is not a database; "):
            await open_journal(folder)


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/data", "ext4"),
        ("/home/me/data/nfs sharé/x", "nfs4"),
        ("/home/me/database", "ext4"),
        ("/mnt/twice/x", "tmpfs"),
    ],
)
def test_the_file_system_of_a_folder_is_found_at_its_nearest_mount(folder: str, kind: str) -> None:
    mounts = (
        "/dev/vda / ext4 rw 0 0\n"
        "server:/x /home/me/data/nfs\\040sharé nfs4 rw 0 0\n"
        "server:/y /mnt/twice cifs rw 0 0\n"
        "tmpfs /mnt/twice tmpfs rw 0 0\n"
    )
    assert read_mounts(Path(folder), mounts) == kind


# -- failures ---------------------------------------------------------------------------------------------------


async def test_a_kill_loses_no_acknowledged_commit(folder: Path) -> None:
    acknowledged: dict[str, int] = {}
    with child("commit", folder) as writer:
        assert writer.stdout is not None
        for number, line in enumerate(writer.stdout):
            run, entries = line.split()
            acknowledged[run] = int(entries)
            if number == 1_000:
                writer.kill()

    journal = await open_journal(folder)
    kept = {run.id: run.sequence for run in await journal.list_runs(limit=10_000)}
    assert {run: entries for run, entries in acknowledged.items() if kept.get(run, 0) < entries} == {}
    for run, sequence in kept.items():
        assert len(await journal.read_history(run)) == sequence
    assert await journal.check_integrity() == []
    await journal.close()


async def test_a_full_disk_refuses_units_until_there_is_room_again(folder: Path) -> None:
    journal = await open_journal(folder)
    run = await samples.a_run(journal, "before")
    await fill_disk(journal)

    with pytest.raises(JournalFull, match="disk is full"):
        await journal.append(run, 1, 1, [samples.make_step_completed(output=samples.LARGE)], samples.RUNNING)
    refused = await asyncio.gather(
        *(journal.add_definition(f"w{number}", "orders", b"x" * 40_000, 1_000) for number in range(20)),
        return_exceptions=True,
    )
    assert {type(answer) for answer in refused} == {JournalFull}
    assert len(await journal.read_history(run)) == 1

    await clear_disk(journal)
    await journal.append(run, 1, 1, [samples.make_step_completed(output=samples.LARGE)], samples.RUNNING)
    assert await journal.is_writable()
    assert len(await journal.read_history(run)) == 2
    assert await journal.check_integrity() == []
    await journal.close()


async def test_the_unit_of_a_batch_that_fits_on_the_disk_is_kept(folder: Path) -> None:
    journal = await open_journal(folder)
    await fill_disk(journal)

    large = journal.add_definition("large", "orders", b"x" * 40_000, 1_000)
    small = journal.add_definition("small", "orders", b"x", 1_000)
    answers = await asyncio.gather(large, small, return_exceptions=True)

    assert [type(answer) for answer in answers] == [JournalFull, type(None)]
    await journal.close()


async def test_a_journal_on_a_full_disk_is_not_writable(folder: Path) -> None:
    journal = await open_journal(folder)
    await fill_disk(journal)
    assert not await journal.is_writable()

    await clear_disk(journal)
    assert await journal.is_writable()
    assert not await journal.is_writable(room=2**62), "no disk has that much room"
    await journal.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, "full"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, "full"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "busy"),
        (sqlite3.SQLITE_IOERR_FSYNC, "broken"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "broken"),
        (sqlite3.SQLITE_TOOBIG, "refused"),
    ],
)
def test_an_sqlite_error_is_classified_by_its_code(folder: Path, code: int, kind: str) -> None:
    error = sqlite3.OperationalError("")
    error.sqlite_errorcode = code
    assert SQLite(folder).classify_error(error) == kind


async def test_an_io_error_ends_the_journal_and_loses_no_acknowledged_commit(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.journal.child", "fail", str(folder)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = done.stdout.splitlines()
    answers = dict(line.split() for line in lines if line.startswith("v"))
    assert "fatal OperationalError" in lines
    assert "late refused" in lines
    assert set(answers.values()) == {"kept", "JournalBroken"}

    journal = await open_journal(folder)
    for version, answer in answers.items():
        if answer == "kept":
            assert await journal.load_definition(version)
    assert await journal.check_integrity() == []
    await journal.close()
