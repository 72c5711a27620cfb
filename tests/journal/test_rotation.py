"""A rotation of the store key that is killed at any moment leaves every value readable."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from durable.encrypted_store.key_ring import KeyRing, StoreKey
from durable.encrypted_store.store import EncryptedStore
from durable.journal.journal import Journal

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = int(os.environ.get("KILLS", "8"))
VALUES = {f"SECRET_{number}": f"the value {number}" for number in range(300)}
LONGEST = 0.15
"""Seconds after which a rotation is killed at the latest; one takes about half as long."""


async def test_every_value_is_readable_after_a_kill_in_the_middle_of_a_rotation(tmp_path: Path) -> None:
    file, data, chance = tmp_path / "store.key", tmp_path / "data", random.Random(1)
    file.write_text(StoreKey.generate().encode())
    await _write_values(data, file)
    halves = 0
    for _ in range(KILLS):
        _rotate_until_killed(data, file, chance.uniform(0, LONGEST))
        halves += await _check_values(data, file)
    print(f"{KILLS} kills, {halves} of them with values under two keys, 0 values lost")


def _rotate_until_killed(data: Path, file: Path, after: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.journal.rotating", str(data), str(file)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(after)  # the moment of the kill, not a wait for something
        process.kill()


async def _write_values(data: Path, file: Path) -> None:
    journal = await _open(data)
    store = EncryptedStore(journal, KeyRing.parse(file.read_text()), lambda: 5_000)
    for name, value in VALUES.items():
        await store.set("secret", name, value, by="ada")
    await journal.close()


async def _check_values(data: Path, file: Path) -> bool:
    """Whether values are encrypted with more than one key. Every value is readable with the keys of the file."""
    journal = await _open(data)
    store = EncryptedStore(journal, KeyRing.parse(file.read_text()), lambda: 5_000)
    found = await store.list_values()
    await journal.close()
    assert {value.name: store.ring.open(value) for value in found} == VALUES
    return len({value.key for value in found}) > 1


async def _open(data: Path) -> Journal:
    return await Journal.open(data, node="node-1", on_fatal=print)
