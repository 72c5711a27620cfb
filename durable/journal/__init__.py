"""The store of events, entries and runs.

What opens it is imported where it is first asked for: SQLAlchemy takes longer than all that a pipeline's check does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from durable.journal.units import (
    Admission,
    Admitted,
    ApiKey,
    Beginning,
    Beside,
    Claim,
    Claimed,
    Contention,
    DataFolderInUse,
    DataFolderUnfit,
    Delivery,
    DeliveryOutcome,
    DeliveryRow,
    Descent,
    Event,
    FilesReplaced,
    FireOutcome,
    JournalBroken,
    JournalBusy,
    JournalClosed,
    JournalDamaged,
    JournalError,
    JournalFull,
    Listening,
    Message,
    NewRun,
    Overflow,
    Post,
    PostOutcome,
    RunRow,
    RunUnreadable,
    RunView,
    ScheduleRow,
    Stale,
    TooManyRuns,
    Unfinished,
    UnitRefused,
)

if TYPE_CHECKING:
    from durable.journal.journal import Journal
    from durable.journal.reads import Reads, open_reader
    from durable.journal.scan import Scan

_OPENING = {"Journal": "journal", "Reads": "reads", "Scan": "scan", "open_reader": "reads"}

__all__ = [
    "Admission",
    "Admitted",
    "ApiKey",
    "Beginning",
    "Beside",
    "Claim",
    "Claimed",
    "Contention",
    "DataFolderInUse",
    "DataFolderUnfit",
    "Delivery",
    "DeliveryOutcome",
    "DeliveryRow",
    "Descent",
    "Event",
    "FilesReplaced",
    "FireOutcome",
    "Journal",
    "JournalBroken",
    "JournalBusy",
    "JournalClosed",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "Listening",
    "Message",
    "NewRun",
    "Overflow",
    "Post",
    "PostOutcome",
    "Reads",
    "RunRow",
    "RunUnreadable",
    "RunView",
    "Scan",
    "ScheduleRow",
    "Stale",
    "TooManyRuns",
    "Unfinished",
    "UnitRefused",
    "open_reader",
]


def __getattr__(name: str) -> object:
    if name not in _OPENING:
        raise AttributeError(f"{__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_OPENING[name]}"), name)
