"""Draining: attempts under way may end, then every run is released for the next start."""

import asyncio
import logging
from collections.abc import Callable, Collection

from durable.history.entries import AttemptLost
from durable.journal.journal import Journal
from durable.runner.live_runs import LiveRuns
from durable.runner.takeover import log_loss

CUT_OFF_TIMEOUT = 5.0
"""Seconds that a drain waits for the entries of attempts that it has cut off; a full disk may prevent them."""

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
    """Start nothing more, let the attempts under way end within `timeout` seconds, and release every run.

    An attempt that is cut off then has an unknown ending, as in a crash, but makes its run no suspect.
    """
    runs.begin_draining()
    under_way = {task for run in runs.by_id.values() for each in run.attempts if (task := each.task)}
    if under_way:
        log.info("draining: %d attempts are under way", len(under_way))
        await asyncio.wait(under_way, timeout=timeout)
    unwritten = await _cut_off(runs, now)
    owing = [run.id for run in runs.by_id.values() if run.pending]
    for run in list(runs.by_id.values()):
        runs.drop(run)
    if tasks := list_tasks():
        await asyncio.wait(tasks, timeout=TASKS_TIMEOUT)
    # A run whose losses are not written stays owned, so that the next start finds them. One that was cut off while it
    # started a run or sent an event is due at once: its own time may be far away.
    await journal.release_all(kept=unwritten.union(runs.retries.runs), due=owing)


async def _cut_off(runs: LiveRuns, now: Callable[[], int]) -> set[str]:
    """End the attempts that are still under way and append that they are lost, after all that was reported before;
    returns the runs for which that failed."""
    await asyncio.sleep(0)  # an attempt that timed out just now reports that first
    for run in list(runs.by_id.values()):
        for attempt in run.attempts:
            lost = AttemptLost(
                at=now(), path=attempt.path, attempt=attempt.number, cause="drain", started_at=attempt.started_at
            )
            attempt.abandon()
            log_loss(run.id, lost)
            run.put(lost)
    writing = {run.busy: run.id for run in runs.by_id.values() if run.busy}
    if not writing:
        return set()
    _, pending = await asyncio.wait(writing, timeout=CUT_OFF_TIMEOUT)
    return {writing[task] for task in pending}
