"""The errors of the journal.

JournalError            the journal refuses an operation
├── Stale               the run has another owner or a longer history; the unit was refused
├── TooManyRuns         the limit of runs that descend from an event is reached; nothing was written
├── UnitRefused         the database rejects a row of the unit; nothing of the unit was written
├── JournalFull         the disk is full; nothing was written, and the unit can be retried
├── JournalBusy         too many units are queued, or another process holds the database; nothing was written
├── JournalClosed       the journal is closed and accepts no units
├── FilesReplaced       a file of the journal was removed or replaced while it was open; the process must end
├── JournalDamaged      the database cannot be read: its file is damaged
├── JournalBroken       writing failed; it is unknown whether the unit was written, and the process must end
├── RunUnreadable       a value that a run needs is damaged or missing, or was written by a newer Waypost
├── DataFolderInUse     another process uses the data folder
├── BackupUnusable      a backup is damaged, of a newer version, or no backup
└── DataFolderUnusable  the data folder is missing, on a network file system, or of a newer version
"""


class JournalError(Exception):
    """The base of the journal's errors."""


class Stale(JournalError):
    """The run has another owner, or its history differs from what the caller expects."""


class TooManyRuns(JournalError):
    """`count` runs descend from the event `origin`; the runs of the admission would exceed `limit`."""

    def __init__(self, origin: str, count: int, limit: int) -> None:
        super().__init__(f"{count} of {limit} runs descend from the event {origin} already")
        self.origin, self.count, self.limit = origin, count, limit


class UnitRefused(JournalError):
    """The database rejects a row of the unit. Nothing of the unit was written, and a retry would not help."""


class JournalFull(JournalError):
    """The disk is full; nothing was written."""


class JournalBusy(JournalError):
    """Too many units wait for their commit, or another process holds the database; nothing was written."""


class JournalClosed(JournalError):
    """The journal is shutting down; nothing was written."""


class JournalBroken(JournalError):
    """Writing failed in a way that leaves the outcome unknown; only a restart can tell what was written."""


class FilesReplaced(JournalError):
    """A file of the journal was replaced after it was opened; `name` is its name."""

    def __init__(self, name: str, what: str, cure: str) -> None:
        super().__init__(f"{name} was {what} while the service was running; {cure}")
        self.name = name


class JournalDamaged(JournalError):
    """The database cannot be read. The message contains the database's finding, and what to do."""


class RunUnreadable(JournalError, LookupError):
    """A value that a run needs cannot be read; `reason` says which value and why."""

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(f"run {run} cannot be read: {reason}" if run else reason)
        self.reason = reason


class DataFolderInUse(JournalError):
    """Another process uses the data folder."""


class BackupUnusable(JournalError):
    """A file cannot be used as a backup; the message says why."""


class DataFolderUnusable(JournalError):
    """The data folder cannot be used; the message says why and what to do."""
