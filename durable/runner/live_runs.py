"""The runs in memory: their number, when they leave, and who waits for their ends."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from durable import metrics
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.links import log_fields
from durable.path import make_page_path
from durable.runner.gates import ConnectionGates
from durable.runner.live_run import LiveRun
from durable.runner.permits import AttemptPermits
from durable.runner.retries import Retries
from durable.runner.room import Backlog, Room
from durable.runner.timing import STEP
from durable.runner.waiters import Waiters
from durable.units import Run

log = logging.getLogger("waypost.run")

AT_HAND = 20
"""Of each pipeline, the capacity divided by this may wait for a permit or at a gate in memory; further runs wait in the
journal."""


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """The limits of a node: concurrent attempts, runs in memory, recoveries without progress, and runs that descend
    from one event. `evict_after`: a run that waits longer than this (ms) leaves memory."""

    attempts_in_flight: int = 256
    live_runs: int = 10_000
    recoveries: int = 5
    runs_per_event: int = 10_000
    evict_after: int = 30_000


class LiveRuns:
    """The runs in memory, all owned by this node. `take_over_soon` is called with a pipeline when there is room for its
    runs that wait in the journal."""

    def __init__(
        self, journal: Journal, now: Callable[[], int], limits: RunnerLimits, take_over_soon: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._now = now
        self._take_over_soon = take_over_soon
        self.evict_after = limits.evict_after
        self.permits = AttemptPermits(limits.attempts_in_flight)
        self.room = Room(limits.live_runs)
        self.gates = ConnectionGates(now)
        self.backlog = Backlog(self.room, self.permits, self.gates, max(2, limits.live_runs // AT_HAND))
        self.by_id: dict[str, LiveRun] = {}
        self.retries = Retries(journal, now, self.announce_end)
        self.ends = Waiters()
        self.answers = Waiters()
        self.is_draining = False
        self.when_ended: Callable[[str], None] = _ignore_end
        metrics.LIVE_RUNS.set_function(lambda: len(self.by_id))
        metrics.ATTEMPTS_WAITING.set_function(self.permits.count_all_waiting)
        metrics.ATTEMPTS_IN_FLIGHT.set_function(lambda: sum(len(run.attempts) for run in list(self.by_id.values())))

    def add(self, run: LiveRun) -> None:
        """Add a run to memory."""
        self.by_id[run.id] = run
        self.room.add(run.definition.id)

    def drop(self, run: LiveRun) -> None:
        """Remove a run from memory."""
        pipeline = run.definition.id
        if self.by_id.get(run.id) is run:
            del self.by_id[run.id]
            self.room.remove(pipeline)
        run.leave_memory()
        self.give_back(run)
        if self.backlog.has_runs(pipeline) and self.backlog.is_wanted(pipeline):
            self._take_over_soon(pipeline)

    def give_back(self, run: LiveRun) -> None:
        """Return the permit of a run that has not started yet, if it holds one."""
        permit, run.permit = run.permit, None
        if permit:
            self.permits.give(permit)

    def fail(self, run: LiveRun, error: Exception) -> None:
        """Drop a run that cannot continue now, and retry it later."""
        if not isinstance(error, RunUnreadable):
            log.error("processing a run failed; retrying", exc_info=error, extra={"run": run.id})
        self.drop(run)
        self.retries.give_up(run.id, error)

    # -- letting go ---------------------------------------------------------------------------------------------

    def release_if_idle(self, run: LiveRun) -> None:
        """Drop a run that has ended, and release a run that waits for long, so that it needs no memory until it is
        due."""
        state = run.state
        if run.is_gone or run.busy is not None:
            return
        if state.finished:
            began = state.retried or state.forked or state.started
            seconds = (state.finished.at - began.at) / 1000 if began else 0
            metrics.count_run_finished(run.definition.id, state.finished.status, seconds)
            _log_end(run)
            self.drop(run)
            self.announce_end(run.id)
        elif state.pauses:
            if not run.is_at_work:
                log.warning("run paused: %s", state.pause_reason, extra=log_fields(run.id, state.started))
                self.release(run)
        elif not run.has_task and self._waits_for_long(run):
            self.release(run)

    def release(self, run: LiveRun) -> None:
        """Remove an unfinished run from memory; a message or the sweep brings it back."""
        due, stored = run.compute_due(self._now()), run.state.due
        was_set = due is not None and stored is not None and due < stored - STEP
        self.drop(run)
        self._journal.release([run.id], due if was_set else None).add_done_callback(partial(self._note_release, run.id))

    def _note_release(self, run: str, release: "asyncio.Future[None]") -> None:
        if not release.cancelled() and (error := release.exception()):
            log.warning("a run was not released: %s", error, extra={"run": run})
            self.retries.retry_later(run, counts=False)

    def _waits_for_long(self, run: LiveRun) -> bool:
        state = run.state
        if state.status not in ("waiting", "queued") or run.is_at_work:
            return False
        now = self._now()
        due = run.compute_due(now)
        if due is None or due <= now + self.evict_after:
            return False
        # The end of each run that it called would load it again, with its whole history.
        is_caller = any(state.steps[path].child for path in state.active)
        has_room = self.room.count_free(run.definition.id) > 0
        return not is_caller or not has_room or now > state.at + self.evict_after

    # -- what others see of them --------------------------------------------------------------------------------

    def announce_end(self, run: str) -> None:
        """Notify the tasks that wait for the end of a run."""
        self.when_ended(run)
        self.ends.notify(run)
        self.answers.notify(run)

    def explain_progress(self, run: Run) -> str | None:
        """Explain which of Waypost's own limits a run waits for, or which steps it performs, as text for people; None
        if neither is known here."""
        live = self.by_id.get(run.id)
        if live is None:
            is_unowned = run.node is None and run.due_at is not None and run.due_at <= self._now()
            return f"it waits for its turn: other runs of {run.pipeline} come first" if is_unowned else None
        if live.waits:
            (path, what), *others = live.waits.items()
            more = f", and {len(others)} more steps wait" if others else ""
            return f"{_name_page(live, path)}: waits for {what}{more}"
        if run.status != "running" or not live.state.active:
            return None
        first, *more_steps = live.state.active
        return f"performs {_name_page(live, first)}" + (f", and {len(more_steps)} more" if more_steps else "")

    async def wait_for_end(self, run: str, seconds: float) -> None:
        """Return when the run has ended, the service drains, or the timeout has passed."""

        async def is_over() -> bool:
            found = await self._journal.find_run(run)
            return found is None or found.finished_at is not None or self.is_draining

        await self.ends.wait(run, seconds, is_over)

    async def wait_for_answer(self, run: str, seconds: float) -> None:
        """Return when a step of the run has answered, the run has ended, the service drains, or the timeout has
        passed."""

        async def is_over() -> bool:
            state = await self._journal.load_state(run)
            return state.answer is not None or state.finished is not None or self.is_draining

        await self.answers.wait(run, seconds, is_over)

    @property
    def is_crowded(self) -> bool:
        """Whether attempts wait for a permit, or less than half of the memory for runs is free."""
        return self.permits.count_all_waiting() > 0 or self.room.is_half_full

    def begin_draining(self) -> None:
        """Accept and start nothing more, and wake all tasks that wait for the end or the answer of a run."""
        self.is_draining = True
        self.ends.notify_all()
        self.answers.notify_all()


def _ignore_end(run: str) -> None:
    """Do nothing."""


def _name_page(run: LiveRun, path: str) -> str:
    """Return the path of the page that a step gets next; its own path if it has no pages."""
    step = run.state.steps.get(path)
    return make_page_path(path, step.pages.number) if step and step.pages else path


def _log_end(run: LiveRun) -> None:
    """Log the end of a run; for a failure, where and why."""
    fields = log_fields(run.id, run.state.started) | {"pipeline": run.definition.id}
    error = run.state.error
    if error is None:
        log.info("run %s", run.state.status, extra=fields)
    else:
        log.error("run %s: %s", run.state.status, error.message, extra=fields | {"step": error.step})
