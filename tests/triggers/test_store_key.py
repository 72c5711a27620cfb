"""The store key where commands meet it: what doctor finds, what validate reads, and the replacement of its file."""

import stat
from pathlib import Path

import pytest

from durable.encrypted_store.errors import StoreKeyFixed
from durable.encrypted_store.key_ring import KeyRing, StoreKey
from durable.encrypted_store.store import EncryptedStore
from durable.journal.journal import Journal
from triggers.commands.checks import Check, check_store_key
from triggers.commands.validate import check_config
from triggers.instance import Instance
from triggers.settings import Settings
from triggers.store_key import StoreKeySource

pytestmark = pytest.mark.anyio

RIGHT, WRONG = StoreKey.generate(), StoreKey.generate()

ASKS = """
steps:
  - {id: ask, use: http.get, with: {url: "http://127.0.0.1:9/", headers: {authorization: "{{ secrets.CRM }}"}}}
"""


async def store_secret(folder: Path, key: StoreKey, name: str = "CRM") -> None:
    journal = await Journal.open(folder / "data", node="node-1", on_fatal=print)
    await EncryptedStore(journal, KeyRing([key]), lambda: 5_000).set("secret", name, "canary", by="ada")
    await journal.close()


def write_keys(folder: Path, *keys: StoreKey) -> Path:
    file = folder / "store.key"
    file.write_text("".join(f"{key.encode()}\n" for key in keys))
    file.chmod(0o600)
    return file


def make_settings(file: Path | None, **environment: str) -> Settings:
    named = {"WAYPOST_STORE_KEY_FILE": str(file)} if file else {}
    return Settings.load(Path("none"), {**named, **environment}, {})


async def test_doctor_compares_the_store_key_with_what_is_stored(tmp_path: Path) -> None:
    def check(file: Path | None = None, **environment: str) -> tuple[str, str]:
        found: Check = check_store_key(make_settings(file, **environment), tmp_path / "data")
        return found.state, f"{found.found} -> {found.cure}"

    assert check() == ("ok", "there is none, and nothing is stored that needs one -> None")
    await store_secret(tmp_path, RIGHT)

    state, found = check()
    assert state == "warning"
    assert f"no key is set in this shell, but the store key {RIGHT.id} is needed for: secret CRM" in found
    assert check(write_keys(tmp_path, RIGHT)) == ("ok", f"{RIGHT.id} encrypts 1 stored value -> None")
    state, found = check(write_keys(tmp_path, WRONG))
    assert state == "wrong"
    assert f"the key here is {WRONG.id}, but the store key {RIGHT.id} is needed for: secret CRM" in found
    state, found = check(write_keys(tmp_path, WRONG, RIGHT))
    assert (state, f"1 with {RIGHT.id} -> `waypost secrets key rotate`" in found) == ("warning", True)
    file = write_keys(tmp_path, RIGHT)
    file.chmod(0o644)
    assert f"chmod 600 {file}" in check(file)[1]
    assert "set twice" in check(file, WAYPOST_STORE_KEY=RIGHT.encode())[1]
    state, found = check(WAYPOST_STORE_KEY="hunter2")
    assert (state, "the store key in WAYPOST_STORE_KEY is not a store key" in found) == ("wrong", True)
    assert "hunter2" not in found


async def test_commands_without_a_service_know_the_stored_secrets(tmp_path: Path) -> None:
    (tmp_path / "config" / "pipelines").mkdir(parents=True)
    (tmp_path / "config" / "pipelines" / "asks.yaml").write_text(ASKS)

    def check(file: Path | None) -> list[str]:
        environment = {"WAYPOST_STORE_KEY_FILE": str(file)} if file else {}
        found = check_config(None, Instance(tmp_path / "config", tmp_path / "data", environment))
        return [str(problem.message) for each in found.files for problem in each.problems]

    assert check(None) == ["the secret 'CRM' is not set"]
    await store_secret(tmp_path, RIGHT)
    why = f"is encrypted with the store key {RIGHT.id}, which is not set"
    assert check(None) == [f"the secret 'CRM' {why}"]
    assert check(write_keys(tmp_path, RIGHT)) == []


def test_a_new_key_is_put_before_the_others_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    file = write_keys(tmp_path, RIGHT)
    file.chmod(0o640)
    (tmp_path / "link.key").symlink_to(file)
    source = StoreKeySource(make_settings(tmp_path / "link.key"), tmp_path / "data")

    ring = source.add_key()

    assert ring.ids[1:] == (RIGHT.id,)
    assert source.load().ids == ring.ids
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert (tmp_path / "link.key").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.key", "store.key"]


def test_a_key_that_cannot_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    file = write_keys(tmp_path, RIGHT).rename(tmp_path / ("k" * 255))  # its replacement would have a longer name
    with pytest.raises(StoreKeyFixed, match="put it into a line of its own before the old one"):
        StoreKeySource(make_settings(file), tmp_path / "data").add_key()
    assert file.read_text().split() == [RIGHT.encode()]
