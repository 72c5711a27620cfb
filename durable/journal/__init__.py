"""The store of events, entries and runs.

What opens it is imported where it is first asked for: SQLAlchemy takes longer than all that a pipeline's check does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from durable.units import (
    Admission,
    Admitted,
    ApiKey,
    DataFolderInUse,
    DataFolderUnusable,
    DedupeKey,
    Delivery,
    DeliveryOutcome,
    Descent,
    Event,
    EventSubscription,
    FilesReplaced,
    FireOutcome,
    JournalBroken,
    JournalBusy,
    JournalClosed,
    JournalDamaged,
    JournalError,
    JournalFull,
    Message,
    NewMessage,
    NewRun,
    Overflow,
    PostOutcome,
    QueuedStart,
    Run,
    RunUnreadable,
    RunView,
    ScheduleProgress,
    SideEffects,
    SlotRequest,
    Stale,
    StoredDelivery,
    Takeover,
    TooManyRuns,
    UnfinishedRun,
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
    "DataFolderInUse",
    "DataFolderUnusable",
    "DedupeKey",
    "Delivery",
    "DeliveryOutcome",
    "Descent",
    "Event",
    "EventSubscription",
    "FilesReplaced",
    "FireOutcome",
    "Journal",
    "JournalBroken",
    "JournalBusy",
    "JournalClosed",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "Message",
    "NewMessage",
    "NewRun",
    "Overflow",
    "PostOutcome",
    "QueuedStart",
    "Reads",
    "Run",
    "RunUnreadable",
    "RunView",
    "Scan",
    "ScheduleProgress",
    "SideEffects",
    "SlotRequest",
    "Stale",
    "StoredDelivery",
    "Takeover",
    "TooManyRuns",
    "UnfinishedRun",
    "UnitRefused",
    "open_reader",
]


def __getattr__(name: str) -> object:
    if name not in _OPENING:
        raise AttributeError(f"{__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_OPENING[name]}"), name)
