"""What an error means to the person who typed a command, where nothing nearer to it has explained it."""

import traceback
from collections.abc import Mapping
from pathlib import Path

import httpx

from durable.encrypted_store.errors import SecretRefused, StoreError
from durable.journal.errors import BackupUnusable, JournalError
from triggers.commands.failure import NOT_READY, WRONG_USE, CommandFailed, explain_cause
from triggers.not_found import (
    BulkNotFound,
    ConnectionNotFound,
    ConnectorNotFound,
    DeliveryNotFound,
    IdAmbiguous,
    IdNotFound,
    KeyNotFound,
    NoConnectors,
    PipelineNotFound,
    PipelinesMissing,
    RunNotFound,
    SecretNotFound,
    StepNotFound,
    TriggerNotFound,
    VersionNotFound,
)
from triggers.reading.client import ServiceRefused
from triggers.settings import SettingsError

LISTS = {
    "run": "waypost runs",
    "event": "waypost deliveries --json",
    "delivery": "waypost deliveries",
    "version": "waypost versions PIPELINE",
    "bulk": "waypost bulk list",
}
"""The command that lists what an id can be the id of."""

LISTS_OF_MISSING: Mapping[type[Exception], str] = {
    RunNotFound: "waypost runs",
    BulkNotFound: "waypost bulk list",
    DeliveryNotFound: "waypost deliveries",
    KeyNotFound: "waypost keys list",
    ConnectionNotFound: "waypost connections list",
    SecretNotFound: "waypost secrets list",
}
"""The commands that list what exists, by the error for a missing one."""


def explain_error(error: Exception) -> CommandFailed:
    """The message and the exit code of an error."""
    if lists := LISTS_OF_MISSING.get(type(error)):
        return CommandFailed(f"{error}; `{lists}` lists them")
    match error:
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return CommandFailed(f"{where}{explain_cause(error)}; fix this and try again")
        case IdNotFound():
            hint = f"; `{LISTS[error.kind]}` lists them" if error.kind in LISTS else ""
            return CommandFailed(f"{error}{hint}")
        case StepNotFound():
            return CommandFailed(f"{error}; `waypost show {error.run} --steps all` lists its steps")
        case StoreError() | SecretRefused():
            return CommandFailed(str(error), WRONG_USE)
        case (
            ServiceRefused()
            | NoConnectors()
            | ConnectorNotFound()
            | IdAmbiguous()
            | PipelineNotFound()
            | TriggerNotFound()
            | VersionNotFound()
        ):
            return CommandFailed(str(error))
        case httpx.TransportError():
            return CommandFailed(
                f"the service does not answer ({explain_cause(error)}); `waypost doctor` looks for the cause", NOT_READY
            )
        case SettingsError() | PipelinesMissing():
            return CommandFailed(str(error), WRONG_USE)
        case BackupUnusable():
            return CommandFailed(str(error))
        case JournalError():
            return CommandFailed(str(error), NOT_READY)
    if type(error).__module__ == "sqlalchemy.exc":  # its import takes half a second, for errors that are not its own
        cause = getattr(error, "orig", error)
        return CommandFailed(f"the journal cannot be read: {cause}; `waypost doctor` examines it", NOT_READY)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return CommandFailed(
        f"Waypost itself failed: {type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno}); "
        "please report this, with the output of WAYPOST_LOG_LEVEL=debug"
    )
