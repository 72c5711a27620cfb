"""Posts messages to the inboxes of runs, and notifies the runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from durable.journal.errors import JournalBusy, JournalFull
from durable.journal.journal import Journal
from durable.messages import CancelMessage, InboxMessage, TimerMessage, encode_message
from durable.runner.intake import WRITE_PAUSE
from durable.runner.live_run import INBOX, LiveRun
from durable.runner.live_runs import LiveRuns
from durable.units import DedupeKey, PostOutcome

log = logging.getLogger("waypost.run")


class Messenger:
    """Posts messages and notifies runs. `take_over` brings a run into memory."""

    def __init__(
        self,
        journal: Journal,
        runs: LiveRuns,
        now: Callable[[], int],
        take_over: Callable[[str], Awaitable[LiveRun | None]],
    ) -> None:
        self._journal = journal
        self._runs = runs
        self._now = now
        self._take_over = take_over
        self.tasks: set[asyncio.Task[None]] = set()

    async def post(
        self, run: str, message: InboxMessage, wait: str | None = None, once: DedupeKey | None = None
    ) -> PostOutcome:
        """Post a message, and return when the run has processed it, if there is room for the run in memory. If several
        messages end the `wait` at a path, only the first is posted; and only the first with the key `once`."""
        kind, data = encode_message(message)
        posted = await asyncio.shield(self._journal.post(run, kind, data, self._now(), wait, once))
        if posted == "posted":
            await self.deliver(run)
        return posted

    async def end_wait(self, run: LiveRun, path: str) -> None:
        """Post that the time of a wait is over. This goes through the inbox, so that an answer accepted earlier wins,
        and none is accepted later."""
        due = run.state.steps[path].due or 0
        kind, data = encode_message(TimerMessage(path))
        while not self._runs.is_draining:
            at = max(self._now(), due)  # the clock may have been set back
            try:
                await asyncio.shield(self._journal.post(run.id, kind, data, at, path))
            except (JournalFull, JournalBusy):
                await asyncio.sleep(WRITE_PAUSE)
            else:
                self.wake(run.id)
                return

    def wake(self, run: str) -> None:
        """Let a run process its inbox soon."""
        if self._runs.is_draining:
            return
        if live := self._runs.by_id.get(run):
            live.put(INBOX)
            return
        task = asyncio.create_task(self._deliver_logged(run))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _deliver_logged(self, run: str) -> None:
        try:
            await self.deliver(run)
        except Exception:
            log.exception("a message could not be processed; the next sweep tries again", extra={"run": run})

    async def deliver(self, run: str) -> None:
        """Let a run process its inbox. If there is no room for it in memory, the sweep does so later, unless the run is
        to be cancelled, which frees memory."""
        if live := self._runs.by_id.get(run):
            await live.put_and_wait(INBOX)
        elif self._runs.room.free or CancelMessage.kind in await self._journal.list_message_kinds(run):
            await self._take_over(run)
