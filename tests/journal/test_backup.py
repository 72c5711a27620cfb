"""A backup is consistent while others write, checked, and complete or absent; a restore never loses what was there."""

import asyncio
import contextlib
import resource
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from durable.journal.errors import BackupUnusable, DataFolderInUse, DataFolderUnusable
from durable.journal.sqlite.backup import inspect_backup, restore_backup, write_backup
from durable.journal.sqlite.files import FILE_NAME
from durable.units import Admission
from durable.values import INLINE_LIMIT, Value
from tests.journal import samples
from tests.journal.conftest import SQLitePlace
from tests.journal.test_migrations import store_version

pytestmark = pytest.mark.anyio


async def fill(folder: Path, *names: str) -> None:
    """A journal with these runs."""
    journal = await SQLitePlace(folder).open()
    for name in names:
        await samples.a_run(journal, name)
    await journal.close()


async def make_backup(folder: Path, *names: str) -> Path:
    """A backup of a journal with these runs."""
    await fill(folder / "source", *names)
    write_backup(folder / "source", folder / "backup")
    return folder / "backup"


async def list_runs(folder: Path) -> list[str]:
    journal = await SQLitePlace(folder).open()
    try:
        return sorted(run.id for run in await journal.list_runs())
    finally:
        await journal.close()


async def test_a_backup_that_is_made_during_commits_has_every_run_committed_before_it(tmp_path: Path) -> None:
    journal = await SQLitePlace(tmp_path / "source").open()

    async def admit(number: int) -> None:
        data = Value.of(str(number) * INLINE_LIMIT)
        await journal.admit(Admission(samples.event(f"event-{number}", data=data), [samples.new_run(f"run-{number}")]))

    for number in range(100):
        await admit(number)
    copying = asyncio.create_task(asyncio.to_thread(write_backup, tmp_path / "source", tmp_path / "backup"))
    number = 100
    while not copying.done():
        await admit(number)
        number += 1
    contents = await copying
    await journal.close()

    assert number > 100
    assert 100 <= contents.runs == contents.events <= number
    restore_backup(tmp_path / "backup", tmp_path / "restored")
    restored = await SQLitePlace(tmp_path / "restored").open()
    assert len((await restored.load_state("run-99")).steps) == 0
    assert await restored.check_integrity() == []
    await restored.close()


async def test_a_backup_is_one_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    backup = await make_backup(tmp_path, "1", "2")

    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "source"]
    contents = inspect_backup(backup)
    assert (contents.runs, contents.unfinished, contents.newest) == (2, 2, 1_000)


async def test_a_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    backup = await make_backup(tmp_path, "1")
    with pytest.raises(FileExistsError, match="--force"):
        write_backup(tmp_path / "source", backup)

    await fill(tmp_path / "source", "2")
    assert write_backup(tmp_path / "source", backup, replaces=True).runs == 2


async def test_a_folder_without_a_journal_has_no_backup(tmp_path: Path) -> None:
    with pytest.raises(DataFolderUnusable, match="--data"):
        write_backup(tmp_path, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_journal_makes_no_backup(tmp_path: Path) -> None:
    await fill(tmp_path / "source", "1")
    database = tmp_path / "source" / FILE_NAME
    content = bytearray(database.read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xff" * (4096 * 17)
    database.write_bytes(content)

    with pytest.raises(BackupUnusable):
        write_backup(tmp_path / "source", tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


async def test_a_backup_without_room_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    await fill(tmp_path / "source", "1")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))  # a write beyond it fails as on a full disk
    try:
        with pytest.raises(BackupUnusable, match="could not be copied"):
            write_backup(tmp_path / "source", tmp_path / "backup")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


async def test_a_backup_of_a_killed_service_has_what_is_only_in_the_wal(tmp_path: Path) -> None:
    journal = await SQLitePlace(tmp_path / "source").open()
    await samples.a_run(journal)
    shutil.copytree(tmp_path / "source", tmp_path / "killed")
    await journal.close()

    assert write_backup(tmp_path / "killed", tmp_path / "backup").runs == 1
    assert (tmp_path / "killed" / f"{FILE_NAME}-wal").stat().st_size > 0


async def test_a_restored_journal_goes_on_where_the_backup_was_taken(tmp_path: Path) -> None:
    backup = await make_backup(tmp_path, "1", "2")

    contents, old = restore_backup(backup, tmp_path / "restored")

    assert (contents.runs, old) == (2, None)
    assert await list_runs(tmp_path / "restored") == ["run-1", "run-2"]
    journal = await SQLitePlace(tmp_path / "restored").open()
    taken = await journal.take_over("run-1", 2_000, count_recovery=False)
    assert taken is not None
    assert not journal._database.was_left_open, "so that no WAL is missed"
    await journal.append("run-1", taken.epoch, 1, [samples.make_step_scheduled()], samples.RUNNING)
    await journal.close()


async def test_a_journal_that_is_there_is_set_aside_with_its_wal(tmp_path: Path) -> None:
    backup = await make_backup(tmp_path, "1")
    journal = await SQLitePlace(tmp_path / "other").open()
    await samples.a_run(journal, "2")
    shutil.copytree(tmp_path / "other", tmp_path / "killed")
    await journal.close()

    with pytest.raises(DataFolderUnusable, match="--force"):
        restore_backup(backup, tmp_path / "killed")
    _, old = restore_backup(backup, tmp_path / "killed", replaces=True)

    assert await list_runs(tmp_path / "killed") == ["run-1"]
    assert old is not None
    with contextlib.closing(sqlite3.connect(old)) as database:
        assert database.execute("SELECT id FROM runs").fetchall() == [("run-2",)]


async def test_a_folder_in_use_is_not_restored_into(tmp_path: Path) -> None:
    backup = await make_backup(tmp_path, "1")
    journal = await SQLitePlace(tmp_path / "other").open()

    with pytest.raises(DataFolderInUse):
        restore_backup(backup, tmp_path / "other", replaces=True)
    await journal.close()
    assert await list_runs(tmp_path / "other") == []


async def test_what_is_no_sound_backup_of_a_known_version_is_refused(tmp_path: Path) -> None:
    backup = await make_backup(tmp_path, "1")
    content = backup.read_bytes()
    bad = tmp_path / "bad"

    def refuse(match: str) -> None:
        with pytest.raises(BackupUnusable, match=match):
            restore_backup(bad, tmp_path / "restored")
        assert not (tmp_path / "restored" / FILE_NAME).exists()

    bad.write_bytes(b"hello")
    refuse("is not an SQLite database")
    bad.write_bytes(content[: len(content) // 2])
    refuse("damaged|cannot be read")
    bad.unlink()
    with contextlib.closing(sqlite3.connect(bad)) as other:
        other.execute("CREATE TABLE t (a)")
    refuse("as a journal")
    (tmp_path / "newer").mkdir()
    shutil.copyfile(backup, tmp_path / "newer" / FILE_NAME)
    store_version(tmp_path / "newer", "9999")
    shutil.copyfile(tmp_path / "newer" / FILE_NAME, bad)
    refuse("newer Waypost")
    shutil.copyfile(backup, bad)
    (tmp_path / "bad-wal").write_bytes(b"commits")
    refuse("waypost backup")
