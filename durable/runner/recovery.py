"""Recovers runs at start-up, and sweeps: finds, once per second, runs that are due or were missed."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from durable.ids import first_id
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.runner.runner import Runner
from durable.runner.takeover import PAGE
from durable.runner.timing import STEP, ClockWatch
from durable.units import UnfinishedRun

log = logging.getLogger("waypost.recovery")

ROOM_PAUSE = 0.2
"""Seconds between two checks of the recovery for room in memory."""

LOOK_AHEAD = 1_000
"""How many milliseconds before its due time a run is taken over, so that it starts on time."""

SUSPECT_AFTER = 2
"""Consecutive recoveries without progress that make a run suspect; a single recovery can happen to any busy run."""

SUSPECT_PATIENCE = 30.0
"""Seconds for which a suspect waits for progress of the previous suspect."""


class Recovery:
    """Takes over the runs of a process that died; suspects come last, one at a time.

    A run is suspected of killing the process if it was recovered `SUSPECT_AFTER` times without progress.
    """

    def __init__(self, journal: Journal, runner: Runner, now: Callable[[], int]) -> None:
        self._journal = journal
        self._runs = runner.runs
        self._takeover = runner.takeover
        self._messenger = runner.messenger
        self._versions = runner.versions
        self._now = now
        self._clock = ClockWatch(now, asyncio.get_running_loop().time)
        self.recovered = 0

    async def recover(self) -> None:
        """Recover every run that was owned when its process died; returns when the last suspect has made progress."""
        await self._notice_clock()
        try:
            await self._journal.mend_due_times()
        except JournalError as error:  # for example, the disk is full: recover the runs that can be recovered
            log.warning("runs without a due time are left to the next start: %s", error)
        suspects: list[UnfinishedRun] = []
        others: dict[str, deque[UnfinishedRun]] = {}  # no more than fit into memory
        after: str | None = None
        while page := await self._journal.list_orphans(self._journal.node, PAGE, after):
            after = page[-1].run
            for run in page:
                if run.recoveries >= SUSPECT_AFTER:
                    suspects.append(run)
                else:
                    others.setdefault(run.pipeline, deque()).append(run)
        await asyncio.gather(*(self._take_over_all(pipeline, runs) for pipeline, runs in others.items()))
        for suspect in sorted(suspects, key=lambda run: run.recoveries):
            await self._recover_alone(suspect)
        if self.recovered:
            log.info("recovered %d runs", self.recovered)

    async def _take_over_all(self, pipeline: str, runs: deque[UnfinishedRun]) -> None:
        """Take over a pipeline's runs, as many at once as there is room for."""
        while runs:
            if room := min(self._runs.room.count_free(pipeline), PAGE, len(runs)):
                await asyncio.gather(*(self._take_over(runs.popleft()) for _ in range(room)))
            else:
                await asyncio.sleep(ROOM_PAUSE)

    async def _take_over(self, run: UnfinishedRun) -> None:
        if await self._takeover.take_over(run.run, count_recovery=self._was_at_work(run)):
            self.recovered += 1

    def _was_at_work(self, run: UnfinishedRun) -> bool:
        """Whether the run may have killed the process; a run that waited for a later time cannot have."""
        return run.due_at is not None and run.due_at <= self._now()

    async def _recover_alone(self, suspect: UnfinishedRun) -> None:
        log.warning("recovering a suspect run alone", extra={"run": suspect.run, "recoveries": suspect.recoveries})
        live = await self._takeover.take_over(suspect.run, count_recovery=True)
        if live is None:
            return
        self.recovered += 1
        try:
            await asyncio.wait_for(live.wait_for_progress(), SUSPECT_PATIENCE)
        except TimeoutError:
            log.warning("the suspect run is still active", extra={"run": suspect.run})

    async def sweep(self) -> None:
        """Take over due runs without an owner, retry failed runs, deliver inboxes, and end runs after their
        deadline."""
        runs, now, take_over = self._runs, self._now(), self._takeover.take_over
        if runs.is_draining:
            return
        if (step := self._clock.take_step()) < 0:
            await self._bring_forward(-step)
        live = list(runs.by_id.values())
        await _each([run.put_and_wait(passed) for run in live if (passed := run.find_passed_deadline(now))])
        for run in live:
            runs.release_if_idle(run)
        retries = runs.retries
        failed = {run: each.counts for run, each in retries.runs.items() if not each.pause.seconds_left}
        called = await self._journal.list_runs_with_messages(PAGE)
        unread = {run for run in self._journal.unreadable if run not in retries.runs and run not in runs.by_id}
        self._journal.unreadable.clear()
        await _each(
            [
                *(take_over(run, count_recovery=counts) for run, counts in failed.items()),
                *(self._messenger.deliver(run) for run in called if run not in retries.unreadable.reasons),
                *(take_over(run) for run in unread),  # pauses the run if it still cannot be read
            ]
        )
        before = now + LOOK_AHEAD
        due = await self._journal.list_due_pipelines(before)
        await _each([self._takeover.take_over_due(pipeline, before) for pipeline in due])
        await _each([self._end_overdue(pipeline, now) for pipeline in due if runs.backlog.has_runs(pipeline)])

    async def _notice_clock(self) -> None:
        """Detect that the clock was set back while the service was down, from the start time of the newest run."""
        newest = await self._journal.find_newest_start()
        if newest is not None and (by := newest - self._now()) > STEP:
            await self._bring_forward(by)

    async def _bring_forward(self, by: int) -> None:
        """Make the runs in the journal due earlier, so that they wait no longer than was decided."""
        log.warning("the clock was set back by %.0f s; waits for a duration end that much earlier", by / 1000)
        await self._journal.bring_forward(by)

    async def _end_overdue(self, pipeline: str, now: int) -> None:
        """Take over runs whose deadline passed while they waited in the journal, which ends them; the oldest come
        first."""
        timeout = self._versions.find_shortest_timeout(pipeline)
        while timeout is not None and not self._runs.is_draining:
            bound = first_id("run", now - timeout)
            overdue = [run for run in await self._journal.list_due(now, PAGE, pipeline) if run < bound]
            await _each([self._takeover.take_over(run) for run in overdue])
            if len(overdue) < PAGE:
                return


async def _each(work: Sequence[Awaitable[object]]) -> None:
    """Await all of them, and log those that fail."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("a task of the sweep failed; the next sweep tries again", exc_info=result)
