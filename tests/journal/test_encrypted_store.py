"""The encrypted store over a real journal: a value can be read with its key and in its place, and only there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from durable.encrypted_store.errors import StoreKeyMissing, ValueUnreadable
from durable.encrypted_store.key_ring import KeyRing, KeyRingInvalid, StoreKey
from durable.encrypted_store.store import EncryptedStore, StoredText
from durable.journal.journal import Journal
from durable.journal.sqlite.files import FILE_NAME
from tests.journal.conftest import SQLitePlace

pytestmark = pytest.mark.anyio

OLD, NEW = StoreKey.generate(), StoreKey.generate()
CANARY = "canary-3b1f-secret"


def open_store(journal: Journal, *keys: StoreKey, at: int = 5_000) -> EncryptedStore:
    return EncryptedStore(journal, KeyRing(keys), lambda: at)


async def test_a_value_is_read_as_it_was_written(journal: Journal) -> None:
    store = open_store(journal, OLD)

    generation = await store.set("secret", "TOKEN", "é\n{}", by="ada")

    assert await store.read("secret", "TOKEN") == StoredText("é\n{}", generation)
    assert await store.read("token", "TOKEN") is None
    (value,) = await store.list_values()
    assert (value.kind, value.name, value.key, value.updated_at, value.updated_by) == (
        "secret",
        "TOKEN",
        OLD.id,
        5_000,
        "ada",
    )


async def test_of_two_writers_that_read_the_same_generation_one_loses(journal: Journal) -> None:
    store = open_store(journal, OLD)
    assert await store.write("token", "crm", "first", generation=0, by="ada")
    assert await store.write("token", "crm", "second", generation=0, by="ada") is None

    read = await store.read("token", "crm")
    assert read is not None
    won = await store.write("token", "crm", "third", generation=read.generation, by="ada")
    lost = await store.write("token", "crm", "fourth", generation=read.generation, by="ada")

    assert (won, lost) == (read.generation + 1, None)
    assert await store.read("token", "crm") == StoredText("third", read.generation + 1)


async def test_a_value_that_is_stored_again_has_none_of_its_earlier_generations(journal: Journal) -> None:
    store = open_store(journal, OLD, at=5_000)
    first = await store.set("token", "crm", "first", by="ada")
    assert await store.remove("token", "crm")
    assert not await store.remove("token", "crm")

    later = open_store(journal, OLD, at=6_000)
    await later.set("token", "crm", "second", by="ada")

    assert await later.write("token", "crm", "stale", generation=first, by="ada") is None


async def test_without_a_key_nothing_is_written(journal: Journal) -> None:
    with pytest.raises(StoreKeyMissing, match="waypost secrets key new FILE"):
        await open_store(journal).set("secret", "TOKEN", "x", by="ada")

    assert await open_store(journal).list_values() == []


async def test_with_a_wrong_key_a_value_is_named_with_the_key_that_it_needs_and_is_not_overwritten(
    journal: Journal,
) -> None:
    await open_store(journal, OLD).set("secret", "TOKEN", "x", by="ada")
    wrong = open_store(journal, NEW)

    for act in (wrong.read("secret", "TOKEN"), wrong.set("secret", "TOKEN", "y", by="ada")):
        with pytest.raises(ValueUnreadable, match=f"secret TOKEN is encrypted with the store key {OLD.id}") as refused:
            await act
        assert refused.value.key == OLD.id

    assert (await wrong.reseal()).count == 0
    assert await open_store(journal, OLD).read("secret", "TOKEN") is not None


SWAPS = {
    "the rows of two names": "UPDATE sealed_values SET (nonce, data) = (SELECT nonce, data FROM sealed_values WHERE"
    " kind = 'secret' AND name = 'B') WHERE kind = 'secret' AND name = 'A'",
    "the rows of two kinds": "UPDATE sealed_values SET (nonce, data, generation) = (SELECT nonce, data, generation FROM"
    " sealed_values WHERE kind = 'token') WHERE kind = 'secret' AND name = 'A'",
    "another generation": "UPDATE sealed_values SET generation = generation + 1 WHERE name = 'A'",
    "another name": "UPDATE sealed_values SET name = 'C' WHERE kind = 'secret' AND name = 'A'",
    "a changed byte": "UPDATE sealed_values SET data = x'00' || substr(data, 2) WHERE name = 'A'",
    "a short nonce": "UPDATE sealed_values SET nonce = x'00' WHERE name = 'A'",
}


@pytest.mark.parametrize("change", SWAPS)
async def test_a_row_that_was_changed_in_the_database_is_refused_by_name(place: SQLitePlace, change: str) -> None:
    journal = await place.open()
    store = open_store(journal, OLD)
    for kind, name in (("secret", "A"), ("secret", "B"), ("token", "A")):
        await store.set(kind, name, f"value of {kind} {name}", by="ada")  # type: ignore[arg-type]
    await journal.close()
    with closing(sqlite3.connect(place.folder / FILE_NAME, isolation_level=None)) as database:
        assert database.execute(SWAPS[change]).rowcount >= 1

    journal = await place.open()
    name = "C" if change == "another name" else "A"
    with pytest.raises(ValueUnreadable, match=f"the stored secret {name} was changed outside of Waypost"):
        await open_store(journal, OLD).read("secret", name)
    await journal.close()


async def test_a_rotation_encrypts_every_readable_value_anew_and_keeps_its_generation(journal: Journal) -> None:
    lost = StoreKey.generate()
    await open_store(journal, lost).set("secret", "LOST", "x", by="ada")
    before = open_store(journal, OLD)
    generation = await before.set("token", "crm", "tokens", by="ada")
    await before.set("secret", "A", "a", by="grace")
    assert await before.write("token", "crm", "tokens", generation=generation, by="ada")

    during = open_store(journal, NEW, OLD)
    result = await during.reseal()

    assert (result.key, result.count, [each.name for each in result.unreadable]) == (NEW.id, 2, ["LOST"])
    after = open_store(journal, NEW)
    assert await after.read("token", "crm") == StoredText("tokens", generation + 1)
    assert {value.name: value.updated_by for value in await after.list_values()}["A"] == "grace"
    assert (await during.reseal()).count == 0


async def test_no_file_of_the_data_folder_contains_a_value(place: SQLitePlace) -> None:
    journal = await place.open()
    await open_store(journal, OLD).set("secret", "TOKEN", CANARY, by="ada")
    during = _read_files(place.folder)
    await journal.close()

    for data in during + _read_files(place.folder):
        assert CANARY.encode() not in data
        assert OLD.encode().encode() not in data


def _read_files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("hunter2", "is not a store key"),
        ("wpk_short", "is not a store key"),
        ("wpk_é" * 9, "is not a store key"),
        ("KEY!", "is not a store key"),
        ("KEY hunter2", "has an invalid key at position 2"),
    ],
)
def test_what_is_not_a_store_key_is_refused_without_showing_it(text: str, problem: str) -> None:
    with pytest.raises(KeyRingInvalid, match=problem) as refused:
        KeyRing.parse(text.replace("KEY", OLD.encode()))  # the name of a test is the same in every process

    assert "hunter2" not in str(refused.value)


def test_a_key_ring_is_read_as_its_keys_are_written() -> None:
    ring = KeyRing.parse(f"{NEW.encode()}\n{OLD.encode()}\n")

    assert ring.ids == (NEW.id, OLD.id)
    assert ring.current is not None
    assert ring.current.encode() == NEW.encode()
