"""How a command fails: a message that says what, where and what next, and an exit code.

CommandFailed        what `waypost` prints and exits with; never a traceback
"""

# ruff: noqa: PLC0415  # an error's class is looked up only where there is an error

import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

FAILED, WRONG_USE, NOT_READY = 1, 2, 3
"""Exit codes; 0 is fine. Not ready: another process holds the data folder, the address is taken, nobody answers."""


class CommandFailed(Exception):
    """A command cannot do what it was asked for."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def no_service(data: Path) -> CommandFailed:
    """What a command says that only a running service can do."""
    what = f"no service works on {data}: start it with `waypost serve`, or name its folder with --data"
    return CommandFailed(what, NOT_READY)


def exit_with(error: Exception) -> NoReturn:
    """End the process with the error's message; whoever looks for a mistake in Waypost gets the traceback too."""
    failed = explain_error(error)
    print(f"waypost: {failed}", file=sys.stderr)
    if os.environ.get("WAYPOST_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    sys.exit(failed.code)


def explain_error(error: Exception) -> CommandFailed:
    """What to say of an error that nobody nearer to it has explained."""
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return CommandFailed(f"{where}{error.strerror or error}; mend that, and try again")

    return _of_the_service(error) or _of_the_machine(error) or _of_ourselves(error)


def _of_the_service(error: Exception) -> CommandFailed | None:
    """What went wrong between the command and a running service."""
    import httpx

    from triggers.reading import Refused
    from triggers.run_missing import RunNotFound

    match error:
        case RunNotFound():
            return CommandFailed(f"{error}; `waypost runs` lists them")
        case Refused():
            return CommandFailed(str(error))
        case httpx.TransportError():
            reason = str(error) or type(error).__name__
            return CommandFailed(f"the service does not answer ({reason}); `waypost doctor` looks for why", NOT_READY)
    return None


def _of_the_machine(error: Exception) -> CommandFailed | None:
    """What is wrong with the settings or the journal here."""
    from sqlalchemy.exc import SQLAlchemyError

    from durable.journal.errors import JournalError
    from triggers.catalogue import NoConnectors
    from triggers.settings import SettingsError

    match error:
        case NoConnectors():
            return CommandFailed(str(error))
        case SettingsError():
            return CommandFailed(str(error), WRONG_USE)
        case JournalError():
            return CommandFailed(str(error), NOT_READY)
        case SQLAlchemyError():
            reason = getattr(error, "orig", error)
            return CommandFailed(f"the journal cannot be read: {reason}; `waypost doctor` examines it", NOT_READY)
    return None


def _of_ourselves(error: Exception) -> CommandFailed:
    """What nobody foresaw."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return CommandFailed(
        f"Waypost itself failed: {type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno}); "
        "please report it, with what WAYPOST_LOG_LEVEL=debug adds"
    )
