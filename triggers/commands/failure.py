"""How a command fails: a message that says what, where and what to do next, and an exit code.

CommandFailed        what `waypost` prints and exits with, without a traceback
"""

import os
import re
import sys
import traceback
from typing import NoReturn

from durable.lazy import load_module

FAILED, WRONG_USE, NOT_READY = 1, 2, 3
"""Exit codes; 0 is fine. Not ready: another process holds the data folder, the address is taken, no service answers."""


class CommandFailed(Exception):
    """A command cannot do what it was asked for."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def exit_with(error: Exception) -> NoReturn:
    """End the process with the error's message, and with the traceback as well where the log level is `debug`."""
    failed = error if isinstance(error, CommandFailed) else _explain(error)
    print(f"waypost: {failed}", file=sys.stderr)
    if os.environ.get("WAYPOST_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    sys.exit(failed.code)


def explain_cause(error: Exception) -> str:
    """The message of an error, of the system without its number."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?[0-9]+\] ", "", text)


def _explain(error: Exception) -> CommandFailed:
    # It imports the HTTP client for its errors, which `waypost --help` does without.
    explained = load_module("triggers.commands.explain").explain_error(error)
    assert isinstance(explained, CommandFailed)
    return explained
