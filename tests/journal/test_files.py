"""SQLite's files: private, and checked to be the files that were opened."""

import asyncio
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from durable.journal.errors import DataFolderUnusable, FilesReplaced, JournalBroken, JournalDamaged
from durable.journal.journal import Journal
from durable.journal.reads import open_reader
from durable.journal.sqlite.files import FILE_NAME
from durable.journal.sqlite.folder import LOCK_NAME
from durable.journal.sqlite.wal import find_commits
from tests.journal import samples

pytestmark = pytest.mark.anyio


class Opened:
    """A journal, and the error that ended it."""

    def __init__(self) -> None:
        self.fatal: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def open(self, folder: Path) -> Journal:
        return await Journal.open(folder, node="node-1", on_fatal=self.fatal.set_result)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def _remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _replace(name: str) -> Callable[[Path], object]:
    def replace(folder: Path) -> None:
        shutil.copy(folder / name, folder / "copy")
        (folder / "copy").rename(folder / name)

    return replace


def _empty(name: str) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / name, 0)


def _overwrite(name: str) -> Callable[[Path], object]:
    def overwrite(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.write(b"x" * (folder / name).stat().st_size)

    return overwrite


def _link(name: str) -> Callable[[Path], object]:
    def link(folder: Path) -> None:
        (folder / name).rename(folder / "elsewhere")
        (folder / name).symlink_to("elsewhere")

    return link


def _move(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def _move_and_copy(folder: Path) -> None:
    _move(folder)
    shutil.copytree(folder.with_name("elsewhere"), folder)


WAL, INDEX = f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"
HARMLESS: dict[str, Callable[[Path], object]] = {
    "the WAL is removed": _remove(WAL),
    "the WAL is replaced": _replace(WAL),
    "the WAL's index is removed": _remove(INDEX),
    "the WAL's index is replaced": _replace(INDEX),
    "the lock is removed": _remove(LOCK_NAME),
    "the lock is replaced": _replace(LOCK_NAME),
    "a link is in the place of the database": _link(FILE_NAME),
    "a link is in the place of the WAL": _link(WAL),
}
"""What leaves the database where it is."""

HARMS: dict[str, Callable[[Path], object]] = HARMLESS | {
    "the WAL is emptied": _empty(WAL),
    "the WAL is overwritten": _overwrite(WAL),
    "the database is removed": _remove(FILE_NAME),
    "the database is replaced": _replace(FILE_NAME),
    "the database is emptied": _empty(FILE_NAME),
    "the folder is removed": shutil.rmtree,
    "the folder is moved": _move,
    "the folder is replaced by its copy": _move_and_copy,
}


@pytest.mark.parametrize("harm", HARMS)
async def test_no_unit_is_accepted_once_a_journal_file_is_missing(folder: Path, harm: str) -> None:
    opened = Opened()
    journal = await opened.open(folder)
    await samples.a_run(journal, "before")
    HARMS[harm](folder)
    with pytest.raises(JournalBroken, match="restart the process"):
        await samples.a_run(journal, "after")
    error = await asyncio.wait_for(opened.fatal, 60)
    assert isinstance(error, FilesReplaced)
    assert "while the service was running" in str(error)
    await journal.close()


@pytest.mark.parametrize("harm", HARMLESS)
async def test_accepted_units_survive_if_the_database_is_in_place(folder: Path, harm: str) -> None:
    opened = Opened()
    journal = await opened.open(folder)
    for number in range(20):
        await samples.a_run(journal, str(number))
    HARMS[harm](folder)
    with pytest.raises(JournalBroken):
        await samples.a_run(journal, "after")
    # The process is killed here: the contents of its memory and of unlinked files are gone.
    dead = folder.with_name("dead")
    dead.mkdir()
    shutil.copy(folder / FILE_NAME, dead / FILE_NAME)
    await journal.close()
    later = await Opened().open(dead)
    assert {run.id for run in await later.list_runs()} >= {f"run-{number}" for number in range(20)}
    assert await later.check_integrity() == []
    await later.close()


@pytest.mark.parametrize("harm", ["the WAL is emptied", "the WAL is overwritten"])
async def test_an_overwritten_wal_is_never_checkpointed_into_the_database(folder: Path, harm: str) -> None:
    journal = await Opened().open(folder)
    for number in range(20):
        await samples.a_run(journal, str(number))
    await journal.close()
    opened = Opened()
    journal = await opened.open(folder)
    await samples.a_run(journal, "later")
    HARMS[harm](folder)
    with pytest.raises(JournalBroken):
        await samples.a_run(journal, "after")
    assert "restore a backup" in str(await asyncio.wait_for(opened.fatal, 60))
    await journal.close()
    journal._writer._connection.close()  # as at the end of the process: the last connection checkpoints the WAL
    later = await Opened().open(folder)
    assert {run.id for run in await later.list_runs()} >= {f"run-{number}" for number in range(20)}
    assert await later.check_integrity() == []
    await later.close()


async def test_a_database_behind_a_symlink_is_watched_like_any_other(folder: Path) -> None:
    await (await Opened().open(folder)).close()
    _link(FILE_NAME)(folder)
    opened = Opened()
    journal = await opened.open(folder)
    await samples.a_run(journal, "before")
    (folder / "elsewhere-wal").unlink()
    with pytest.raises(JournalBroken):
        await samples.a_run(journal, "after")
    await journal.close()


@pytest.mark.parametrize("harm", HARMS)
async def test_an_idle_journal_notices_a_missing_file(folder: Path, harm: str) -> None:
    opened = Opened()
    journal = await opened.open(folder)
    await samples.a_run(journal, "before")
    watching = asyncio.create_task(journal.watch(every=0.01))
    HARMS[harm](folder)
    if harm == "the WAL is emptied":  # SQLite's own checkpoint does the same; the next commit tells them apart
        watching.cancel()
    else:
        assert isinstance(await asyncio.wait_for(opened.fatal, 60), FilesReplaced)
        await watching
    await journal.close()


async def test_permitted_operations_next_to_a_service_do_not_end_the_journal(folder: Path) -> None:
    journal = await Opened().open(folder)
    watching = asyncio.create_task(journal.watch(every=0.01))
    await samples.a_run(journal, "1")
    with closing(sqlite3.connect(folder / FILE_NAME)) as somebody:
        somebody.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with closing(sqlite3.connect(folder.with_name("backup"))) as backup:
            somebody.backup(backup)
    await samples.a_run(journal, "2")
    shutil.copytree(folder, folder.with_name("copy"))
    (folder / "note").write_text("x")
    os.utime(folder / FILE_NAME)
    await samples.a_run(journal, "3")
    assert not watching.done()
    watching.cancel()
    await journal.close()


# -- private ----------------------------------------------------------------------------------------------------


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027])
async def test_every_file_is_private_whatever_the_umask_and_the_folder(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder.mkdir(mode=0o755)
        journal = await Opened().open(folder)
        await samples.a_run(journal)
        assert set(_modes(folder).values()) == {0o600}
        assert set(_modes(folder)) == {FILE_NAME, WAL, INDEX, LOCK_NAME}
        await journal.close()
        assert set(_modes(folder).values()) == {0o600}
    finally:
        os.umask(before)


async def test_files_readable_by_others_become_private_at_the_next_start(folder: Path) -> None:
    journal = await Opened().open(folder)
    await samples.a_run(journal)
    shutil.copytree(folder, killed := folder.with_name("killed"))
    await journal.close()
    for path in killed.iterdir():
        path.chmod(0o644)
    journal = await Opened().open(killed)
    assert set(_modes(killed).values()) == {0o600}
    await journal.close()


# -- after an unclean shutdown ----------------------------------------------------------------------------------


def _damage_entries(folder: Path) -> None:
    """Flip the beginning of each page on which there are entries."""
    data = bytearray((folder / FILE_NAME).read_bytes())
    for start in range(4096, len(data), 4096):
        if b'"type":"run_started"' in data[start : start + 4096] and data[start] == 0x0D:
            data[start : start + 8] = bytes(byte ^ 0xFF for byte in data[start : start + 8])
    (folder / FILE_NAME).write_bytes(data)


async def _make_killed_journal(folder: Path) -> Path:
    """The folder of a journal whose process was killed."""
    journal = await Opened().open(folder)
    for number in range(200):
        await samples.a_run(journal, str(number))
    shutil.copytree(folder, killed := folder.with_name("killed"))
    await journal.close()
    return killed


@pytest.mark.parametrize("harm", [_empty(FILE_NAME), _remove(FILE_NAME)])
async def test_a_missing_journal_is_not_replaced_by_an_empty_one(folder: Path, harm: Callable[[Path], object]) -> None:
    for left in (folder, await _make_killed_journal(folder)):
        for path in (left / WAL, left / INDEX):
            path.unlink(missing_ok=True)
        harm(left)
        for _ in range(2):
            with pytest.raises(DataFolderUnusable, match="restore a backup of the folder"):
                await Opened().open(left)
        (left / LOCK_NAME).unlink()
        await (await Opened().open(left)).close()


async def test_a_wal_that_is_missing_after_a_kill_is_reported(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed = await _make_killed_journal(folder)
    shutil.copytree(killed, sound := folder.with_name("sound"))
    for place, is_missing in ((sound, False), (killed, True), (folder, False)):
        caplog.clear()
        if is_missing:
            (place / WAL).unlink()
        await (await Opened().open(place)).close()
        assert ("may be gone" in caplog.text) is is_missing


def _flip(place: Path, at: int) -> None:
    data = bytearray((place / WAL).read_bytes())
    data[at] ^= 0xFF
    (place / WAL).write_bytes(data)


FRAME = 24 + 4096
FLIPS = {
    "the header's salt": 17,
    "the header's page size": 10,
    "the first frame": 32 + 100,
    "a frame's salt": 32 + FRAME + 9,
    "a frame in the middle": 32 + 5 * FRAME + 1000,
}
"""Places of a byte in the WAL."""


@pytest.mark.parametrize("at", [*FLIPS.values(), None], ids=[*FLIPS, "the last commit"])
async def test_commits_lost_in_a_damaged_wal_are_reported_and_a_copy_is_kept(
    folder: Path, caplog: pytest.LogCaptureFixture, at: int | None
) -> None:
    killed = await _make_killed_journal(folder)
    last = find_commits(killed / WAL)[-1]
    assert last > 8
    _flip(killed, last * FRAME if at is None else at)
    harmed = (killed / WAL).read_bytes()
    await (await Opened().open(killed)).close()
    assert "commits cannot be read" in caplog.text
    copy = killed / f"{WAL}.damaged"
    assert copy.read_bytes() == harmed
    assert copy.stat().st_mode & 0o077 == 0


async def test_a_wal_whose_last_transaction_was_not_committed_is_not_damaged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed = await _make_killed_journal(folder)
    data = (killed / WAL).read_bytes()
    (killed / WAL).write_bytes(data[: len(data) - 2000])
    await (await Opened().open(killed)).close()
    assert "damaged" not in caplog.text


async def test_a_reader_leaves_the_wal_of_a_killed_service_in_its_place(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed = await _make_killed_journal(folder)
    reader = await open_reader(killed)
    await reader.list_runs()
    await reader.close()

    assert (killed / WAL).exists()
    await (await Opened().open(killed)).close()
    assert "may be gone" not in caplog.text


async def test_a_start_killed_before_the_journal_existed_reports_no_loss(folder: Path) -> None:
    folder.mkdir()
    (folder / LOCK_NAME).write_text(json.dumps({"pid": 1, "host": "x", "since": "y", "journal": False}))
    (folder / FILE_NAME).touch()
    await (await Opened().open(folder)).close()


async def test_damage_is_checked_for_after_an_unclean_shutdown(folder: Path) -> None:
    killed = await _make_killed_journal(folder)
    sound = await Opened().open(killed)
    await sound.check_after_crash()
    assert sound.damage is None
    await sound.close()

    lock = json.loads((killed / LOCK_NAME).read_text())
    (killed / LOCK_NAME).write_text(json.dumps({name: value for name, value in lock.items() if name != "closed"}))
    _damage_entries(killed)
    damaged = await Opened().open(killed)
    await damaged.check_after_crash()
    assert damaged.damage is not None
    assert "restore a backup" in damaged.damage
    await damaged.close()


async def test_a_read_that_meets_damage_is_recorded(folder: Path) -> None:
    killed = await _make_killed_journal(folder)
    await (await Opened().open(killed)).close()
    _damage_entries(killed)
    journal = await Opened().open(killed)
    with pytest.raises(JournalDamaged, match="the journal is damaged"):
        await journal.read_history("run-7")
    assert journal.damage
    await journal.close()


async def test_a_disk_without_room_for_a_delivery_is_not_writable(folder: Path) -> None:
    journal = await Opened().open(folder)
    free = shutil.disk_usage(folder).free
    assert await journal.is_writable(1_000)
    assert not await journal.is_writable(free * 2)
    await journal.close()
