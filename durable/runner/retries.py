"""Retries runs that could not be advanced, after a pause; after repeated failures they are shown as paused."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from durable.journal.errors import JournalError, RunUnreadable
from durable.journal.journal import Journal
from durable.runner.timing import Countdown
from durable.runner.unreadable import UnreadableRuns

log = logging.getLogger("waypost.run")

LASTING = 2
"""After this many consecutive failures, the next failure is shown as the reason of a pause."""

PAUSES = (1_000, 5_000, 30_000, 300_000)
"""Milliseconds after which a run is retried, by the number of consecutive failures."""


@dataclass(eq=False, slots=True)
class RetryLater:
    """A run that this node may own in the journal but does not advance: when it is retried, and whether that counts as
    a recovery."""

    pause: Countdown
    counts: bool


class Retries:
    """The runs that this node retries later. `announce_end` is called with those that are ended instead."""

    def __init__(self, journal: Journal, now: Callable[[], int], announce_end: Callable[[str], None]) -> None:
        self.runs: dict[str, RetryLater] = {}
        self.unreadable = UnreadableRuns(journal, now)
        self._announce_end = announce_end
        self._failures: dict[str, int] = {}
        """How often a run has failed since its last progress."""
        self.tasks: set[asyncio.Task[None]] = set()

    def give_up(self, run: str, error: Exception, *, counts: bool = True) -> None:
        """Retry the run later. If it cannot be read, or has failed repeatedly, show it as paused until then."""
        failures = self._failures.get(run, 0)
        if failures >= LASTING and not isinstance(error, (JournalError, SQLAlchemyError, OSError)):
            error = RunUnreadable(run, f"its handling failed {failures + 1} times, the last time with {error!r}")
        if not isinstance(error, RunUnreadable):
            self.retry_later(run, counts=counts)
            return
        self.runs[run] = RetryLater(Countdown(PAUSES[-1], 0, 0), False)
        task = asyncio.create_task(self._note_unreadable(run, error))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _note_unreadable(self, run: str, error: RunUnreadable) -> None:
        try:
            has_ended = await self.unreadable.note(run, error)
        except JournalError:
            log.warning("an unreadable run could not be marked as paused yet", exc_info=True, extra={"run": run})
            return
        if has_ended:
            self.forget(run)
            self._announce_end(run)

    def retry_later(self, run: str, *, counts: bool = True) -> None:
        """Retry the run after a pause, which increases with each failure."""
        failures = self._failures.get(run, 0)
        self._failures[run] = failures + 1
        pause = PAUSES[min(failures, len(PAUSES) - 1)]
        self.runs[run] = RetryLater(Countdown(pause, 0, 0), counts)

    def note_progress(self, run: str) -> None:
        """Reset the failures of a run that has made progress."""
        if self._failures:
            self._failures.pop(run, None)

    def note_taken(self, run: str) -> None:
        """Forget a run that was taken over again."""
        self.runs.pop(run, None)
        self.unreadable.forget(run)

    def forget(self, run: str) -> None:
        """Forget a run that has ended."""
        self.runs.pop(run, None)
        self._failures.pop(run, None)
