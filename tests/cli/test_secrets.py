"""Commands about stored secrets and their key, with a running service and without one."""

import json
import re
import stat
from pathlib import Path

import pytest

from tests.cli.command import on_terminal, serving, waypost

CANARY = "canary-5e12-secret"


def make_key(place: Path, name: str = "store.key") -> tuple[str, dict[str, str]]:
    """A new store key: its id, and the variable that names its file."""
    made = waypost("secrets", "key", "new", name, cwd=place)
    assert made.returncode == 0, made.stderr
    file = place / name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in made.stdout
    assert f"WAYPOST_STORE_KEY_FILE={file}" in made.stdout
    return re.findall(r"the store key (\w+);", made.stdout)[0], {"WAYPOST_STORE_KEY_FILE": str(file)}


def list_secrets(place: Path, environment: dict[str, str]) -> dict[str, dict[str, object]]:
    found = json.loads(waypost("secrets", "list", "--json", cwd=place, **environment).stdout)
    return {each["name"]: each for each in found["secrets"]}


def test_secrets_are_set_listed_rotated_and_removed_without_a_service(place: Path) -> None:
    missing = waypost("secrets", "set", "CRM", cwd=place, typed=CANARY)
    assert (missing.returncode, "`waypost secrets key new FILE`" in missing.stderr) == (2, True)
    old, key = make_key(place)
    stored = waypost("secrets", "set", "CRM", cwd=place, typed=f"{CANARY} \n", **key)
    assert (stored.returncode, stored.stdout) == (0, "CRM is stored\n")
    assert "CRM ends with a space" in stored.stderr
    code, shown = on_terminal(
        "secrets",
        "set",
        "CRM",
        "--env-file",
        "key.env",
        cwd=_name(place, key),
        typed=f"{CANARY}\n",
        prompt="Value of CRM: ",
    )
    assert (code, CANARY in shown, "CRM is stored" in shown) == (0, False, True)

    listed = waypost("secrets", "list", cwd=place, **key).stdout
    assert re.search(r"^CRM +store +20\S+ +a command", listed, re.MULTILINE)
    assert re.search(r"^DEMO +environment", listed, re.MULTILINE)

    rotated = waypost("secrets", "key", "rotate", cwd=place, **key)
    assert rotated.returncode == 0, rotated.stderr
    new = re.findall(r"1 value encrypted with the new store key (\w+)", rotated.stdout)[0]
    assert f"Older keys are kept for older backups: {old}" in rotated.stdout
    assert new != old

    assert waypost("secrets", "remove", "CRM", cwd=place, **key).stdout == "CRM is removed\n"
    gone = waypost("secrets", "remove", "CRM", cwd=place, **key)
    assert (gone.returncode, "`waypost secrets list`" in gone.stderr) == (1, True)


def _name(place: Path, key: dict[str, str]) -> Path:
    """Write the variable into `key.env`, because a terminal's environment is that of the tests."""
    (place / "key.env").write_text("".join(f"{name}={value}\n" for name, value in key.items()))
    (place / "key.env").chmod(0o600)
    return place


def test_a_running_service_keeps_what_commands_set(place: Path) -> None:
    wanted, key = make_key(place)
    text = (place / "store.key").read_text().strip()
    with serving(place, WAYPOST_STORE_KEY=text):
        stored = waypost("secrets", "set", "CRM", cwd=place, typed=CANARY)
        assert (stored.returncode, stored.stdout) == (0, "CRM is stored\n"), stored.stderr
        assert list_secrets(place, {})["CRM"]["updated_by"] == "admin"
        refused = waypost("secrets", "key", "rotate", cwd=place)
        assert (refused.returncode, "the variable WAYPOST_STORE_KEY" in refused.stderr) == (2, True), refused.stderr
        made = waypost("backup", "b", cwd=place)
        assert f"Its stored secrets and tokens (1) are encrypted with the store key {wanted}" in made.stdout
    restored = waypost("restore", "b", "--data", "other", cwd=place)
    assert f"the store key {wanted}: start the service with WAYPOST_STORE_KEY_FILE=FILE" in restored.stdout
    assert list_secrets(place, {**key, "WAYPOST_DATA": "other"})["CRM"]["doubts"] == []
    assert CANARY.encode() not in (place / "b").read_bytes()


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (".waypost/store.key", "is in a data folder"),
        ("taken.key", "already exists: name another file"),
        ("none/store.key", "No such file or directory"),
    ],
)
def test_a_key_is_not_made_in_the_data_folder_nor_over_a_file(place: Path, file: str, problem: str) -> None:
    (place / "taken.key").write_text("kept")
    refused = waypost("secrets", "key", "new", file, cwd=place)
    assert refused.returncode in (1, 2)
    assert problem in refused.stderr
    assert (place / "taken.key").read_text() == "kept"
