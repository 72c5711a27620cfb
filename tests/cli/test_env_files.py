"""Environment files, which every command that reads the environment takes."""

from pathlib import Path

import pytest

from tests.cli.command import waypost
from triggers.cli import COMMANDS, load_command
from triggers.commands.env_files import read_env_file
from triggers.commands.failure import CommandFailed

TEXT = """\
# a comment
WAYPOST_SECRET_MADE='one $TWO # three'
export WAYPOST_LOG_LEVEL="debug"
EMPTY=
SEVERAL="a
b"
"""


def test_values_are_read_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"\ufeff{TEXT}")
    assert read_env_file(file) == {
        "WAYPOST_SECRET_MADE": "one $TWO # three",
        "WAYPOST_LOG_LEVEL": "debug",
        "EMPTY": "",
        "SEVERAL": "a\nb",
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A=1\nB\n", r"line 2: B has no value: write B=VALUE"),
        (b'A=1\nB="secret-7\n', r"line 2: this cannot be read; write NAME=VALUE, and close every quote"),
        (b"A=\xff\n", "is not UTF-8 text"),
        (b"A=\0secret-7", "line 1: A has no value"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_without_its_values(
    tmp_path: Path, data: bytes | None, message: str
) -> None:
    file = tmp_path / ".env"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(CommandFailed, match=message) as failed:
        read_env_file(file)
    assert "secret-7" not in str(failed.value)


def test_the_environment_wins_over_a_file_and_a_later_file_over_an_earlier_one(place: Path) -> None:
    for name in ("a", "b"):
        (place / name).write_text(f"WAYPOST_BODY_TIMEOUT=never\nWAYPOST_DATA=of_{name}\n")
        (place / name).chmod(0o600)
    files = ("--env-file", "a", "--env-file", "b")
    refused = waypost("run", "greet", "--input", "name=Ada", *files, cwd=place)
    assert (refused.returncode, "WAYPOST_BODY_TIMEOUT" in refused.stderr) == (2, True)
    (place / "a").chmod(0o644)
    done = waypost("run", "greet", "--input", "name=Ada", *files, cwd=place, WAYPOST_BODY_TIMEOUT="1s")
    assert done.returncode == 0, done.stderr
    assert "other users can read a (mode 0644): `chmod 600 a`" in done.stderr
    assert (place / "of_b").is_dir()
    assert not (place / "of_a").exists()


def test_every_command_with_a_config_folder_takes_env_files() -> None:
    for name in COMMANDS:
        loaded = load_command(name)
        for command in getattr(loaded, "commands", {name: loaded}).values():
            names = [parameter.name for parameter in command.params]
            assert ("config" in names) == ("env_file" in names), name
