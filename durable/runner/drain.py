"""Drains the engine: running attempts may end, then every run is released for the next start."""

import asyncio
import logging
from collections.abc import Callable, Collection

from durable.history.entries import AttemptLost
from durable.journal.journal import Journal
from durable.runner.live_runs import LiveRuns
from durable.runner.takeover import note_loss

CUT_OFF_TIMEOUT = 5.0
"""Seconds that a drain waits until the losses of aborted attempts are written; a full disk may prevent it."""

TASKS_TIMEOUT = 1.0
"""Seconds that a drain waits for all other tasks to end."""

log = logging.getLogger("waypost.run")


async def drain_runs(
    runs: LiveRuns,
    journal: Journal,
    now: Callable[[], int],
    timeout: float,
    list_tasks: Callable[[], Collection["asyncio.Task[None]"]],
) -> None:
    """Start nothing more, give running attempts `timeout` seconds to end, and release every run.

    An attempt that is then aborted has an unknown ending, as in a crash, but does not count as a recovery without
    progress.
    """
    runs.begin_draining()
    under_way = {task for run in runs.by_id.values() for each in run.attempts if (task := each.task)}
    if under_way:
        log.info("draining: %d attempts are in progress", len(under_way))
        await asyncio.wait(under_way, timeout=timeout)
    unwritten = await _cut_off(runs, now)
    owing = [run.id for run in runs.by_id.values() if run.pending]
    for run in list(runs.by_id.values()):
        runs.drop(run)
    if tasks := list_tasks():
        await asyncio.wait(tasks, timeout=TASKS_TIMEOUT)
    # A run whose losses are not written remains owned, so that the next start finds them. A run that was interrupted
    # while it started a run or sent an event is due at once, because its own due time may be much later.
    await journal.release_all(kept=unwritten.union(runs.retries.runs), due=owing)


async def _cut_off(runs: LiveRuns, now: Callable[[], int]) -> set[str]:
    """Abort the attempts that are still running, and append that they are lost, after everything that was reported
    before; returns the runs for which that failed."""
    await asyncio.sleep(0)  # lets an attempt that has just timed out report that first
    for run in list(runs.by_id.values()):
        for attempt in run.attempts:
            lost = AttemptLost(
                at=now(), path=attempt.path, attempt=attempt.number, cause="drain", started_at=attempt.started_at
            )
            attempt.abandon()
            note_loss(run, lost)
            run.put(lost)
    writing = {run.busy: run.id for run in runs.by_id.values() if run.busy}
    if not writing:
        return set()
    _, pending = await asyncio.wait(writing, timeout=CUT_OFF_TIMEOUT)
    return {writing[task] for task in pending}
