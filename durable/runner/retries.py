"""Runs that could not be handled: each is taken up again after a pause, and shown as paused if that does not help."""

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
"""Failures of a run's handling, one after the other, after which the next is shown as its reason."""

PAUSES = (1_000, 5_000, 30_000, 300_000)
"""Milliseconds after which a run whose handling failed is taken up again: the first time, the next, and so on."""


@dataclass(eq=False, slots=True)
class RetryLater:
    """A run that this node may own in the journal and does not advance: how long before it is taken up again, and
    whether that counts as a recovery."""

    pause: Countdown
    counts: bool


class Retries:
    """The runs that this node takes up again later; `announce_end` is called with those that are ended instead."""

    def __init__(self, journal: Journal, now: Callable[[], int], announce_end: Callable[[str], None]) -> None:
        self.runs: dict[str, RetryLater] = {}
        self.unreadable = UnreadableRuns(journal, now)
        self._announce_end = announce_end
        self._failures: dict[str, int] = {}
        """How often the handling of a run has failed since its last progress."""
        self.tasks: set[asyncio.Task[None]] = set()

    def give_up(self, run: str, error: Exception, *, counts: bool = True) -> None:
        """Take the run up again later; show one that cannot be read as paused until then, and one whose handling fails
        again and again."""
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
            log.warning("a run that cannot be read is not shown as paused yet", exc_info=True, extra={"run": run})
            return
        if has_ended:
            self.forget(run)
            self._announce_end(run)

    def retry_later(self, run: str, *, counts: bool = True) -> None:
        """Take the run up again after a pause; each time that it fails, the pause is longer."""
        failures = self._failures.get(run, 0)
        self._failures[run] = failures + 1
        pause = PAUSES[min(failures, len(PAUSES) - 1)]
        self.runs[run] = RetryLater(Countdown(pause, 0, 0), counts)

    def note_progress(self, run: str) -> None:
        """The run has made progress: its next failure is the first again."""
        if self._failures:
            self._failures.pop(run, None)

    def note_taken(self, run: str) -> None:
        """The run was taken up again."""
        self.runs.pop(run, None)
        self.unreadable.forget(run)

    def forget(self, run: str) -> None:
        """The run has ended."""
        self.runs.pop(run, None)
        self._failures.pop(run, None)
