"""Environment files: `--env-file` of every command that reads the environment.

A variable of the real environment wins over a file, and a later file over an earlier one. Values are taken as they are:
`$NAME` in them is text. No message shows a value.
"""

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dotenv.parser import parse_stream

from triggers.commands.failure import WRONG_USE, CommandFailed


def load_env_files(paths: Sequence[Path]) -> None:
    """Put the variables of the files into the environment of this process; raises `CommandFailed`."""
    given: dict[str, str] = {}
    for path in paths:
        given |= read_env_file(path)
        _warn_of_readers(path)
    for name, value in given.items():
        os.environ.setdefault(name, value)


def read_env_file(path: Path) -> Mapping[str, str]:
    """The variables of a file; raises `CommandFailed` with the line of one that cannot be read."""
    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in parse_stream(file):
                if line.error:
                    what = "write NAME=VALUE, and close every quote"
                    raise CommandFailed(f"{path}, line {line.original.line}: this cannot be read; {what}", WRONG_USE)
                if line.key is None:
                    continue
                if line.value is None or "\0" in line.value:
                    what = f"{line.key} has no value: write {line.key}=VALUE"
                    raise CommandFailed(f"{path}, line {line.original.line}: {what}", WRONG_USE)
                values[line.key] = line.value
    except OSError as error:
        raise CommandFailed(f"--env-file: {path} cannot be read: {error.strerror}", WRONG_USE) from None
    except UnicodeDecodeError:
        raise CommandFailed(f"--env-file: {path} is not UTF-8 text", WRONG_USE) from None
    return values


def _warn_of_readers(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077 and path.is_file():
        print(f"waypost: other users can read {path} (mode {mode:04o}): `chmod 600 {path}`", file=sys.stderr)
