"""The errors of the journal.

JournalError            the tree of what a journal refuses
├── Stale               the run has another owner or has moved on; the unit was refused
├── TooManyRuns         an event has set as many runs going as it may; nothing of the unit was written
├── UnitRefused         the database takes no such row; nothing of the unit was written
├── JournalFull         the disk is full; nothing was written, the same unit may be tried again
├── JournalBusy         too many units wait, or somebody holds the database; nothing was written
├── JournalClosed       the journal does not take units any more
├── FilesReplaced       a file of the journal was removed or replaced while it was open: the process must end
├── JournalDamaged      the database cannot be read: its file is damaged
├── JournalBroken       writing failed: whether the unit was written is unknown, and the process must end
├── RunUnreadable       something that a run needs is damaged or missing, or a newer Waypost wrote it
├── DataFolderInUse     another process works on the data folder
└── DataFolderUnfit     the data folder cannot be used: a network file system, a newer version's, or none there
"""


class JournalError(Exception):
    """What a journal refuses; see the module's tree."""


class Stale(JournalError):
    """The run has another owner, or its history is not where the caller thinks."""


class TooManyRuns(JournalError):
    """The event `origin` has set `count` runs going, and with those of the admission it would be more than `limit`."""

    def __init__(self, origin: str, count: int, limit: int) -> None:
        super().__init__(f"the event {origin} has set going {count} of {limit} runs")
        self.origin, self.count, self.limit = origin, count, limit


class UnitRefused(JournalError):
    """The database takes no such row; nothing of the unit was written, and trying it again would not help."""


class JournalFull(JournalError):
    """The disk is full; nothing was written."""


class JournalBusy(JournalError):
    """Too many units wait for their commit, or another process holds the database; nothing was written."""


class JournalClosed(JournalError):
    """The journal is shutting down; nothing was written."""


class JournalBroken(JournalError):
    """Writing failed in a way that leaves the outcome unknown; only a restart can tell what was written."""


class FilesReplaced(JournalError):
    """A file of the journal is not the one that was opened; `name` is the file's."""

    def __init__(self, name: str, what: str, cure: str) -> None:
        super().__init__(f"{name} was {what} while the service was running; {cure}")
        self.name = name


class JournalDamaged(JournalError):
    """The database cannot be read; the message says what SQLite found, and what to do."""


class RunUnreadable(JournalError, LookupError):
    """Something that a run needs cannot be read; `reason` says what and why."""

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(f"run {run} cannot be read: {reason}" if run else reason)
        self.reason = reason


class DataFolderInUse(JournalError):
    """Another process works on the data folder."""


class DataFolderUnusable(JournalError):
    """The data folder cannot be used; the message says why and what to do."""
