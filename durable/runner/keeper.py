"""The keeper of the runs in memory: which there are, who waits for what they come to, and when one is let go of."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from durable import metrics
from durable.journal.errors import JournalError, RunUnreadable
from durable.journal.journal import Journal
from durable.links import log_fields
from durable.runner.attempt import ActionRuntime
from durable.runner.live_run import LiveRun, RetryLater
from durable.runner.permits import AttemptPermits
from durable.runner.room import Backlog, Room
from durable.runner.timing import STEP, Countdown
from durable.runner.unreadable import UnreadableRuns
from durable.runner.waiters import Waiters
from durable.units import Run

log = logging.getLogger("waypost.run")

AT_HAND = 20
"""One in so many of the runs that fit into memory may wait there for a slot, of each pipeline; the others wait in the
journal."""

LASTING = 2
"""Failures of a run's handling, one after the other, after which the next is shown as its reason."""

MENDING_PAUSES = (1_000, 5_000, 30_000, 300_000)
"""Milliseconds after which a run whose handling failed is taken up again: the first time, the next, and so on."""


class Keeper(ABC):
    """Keeps the runs in memory that this node owns, `live_runs` at most, and `attempts` slots for what they perform. A
    run that waits for longer than `patience` (ms) leaves memory."""

    def __init__(self, journal: Journal, bench: ActionRuntime, *, attempts: int, live_runs: int, patience: int) -> None:
        self._journal = journal
        self._bench = bench
        self._patience = patience
        self._permits = AttemptPermits(attempts)
        metrics.ATTEMPTS_WAITING.set_function(self._permits.count_all_waiting)
        self._room = Room(live_runs)
        self._backlog = Backlog(self._room, self._permits, max(2, live_runs // AT_HAND))
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends = Waiters()
        self._answers = Waiters()
        self.live: dict[str, LiveRun] = {}
        metrics.LIVE_RUNS.set_function(lambda: len(self.live))
        self.adrift: dict[str, RetryLater] = {}
        self.failures: dict[str, int] = {}
        """How often the handling of a run has failed since its last progress."""
        self.unreadable = UnreadableRuns(journal, bench.now)
        self.is_draining = False
        self.when_ended: Callable[[str], None] = _nobody
        """Is told of every run that has ended."""

    @property
    def room(self) -> int:
        """How many more runs may come into memory, whatever their pipeline."""
        return self._room.free

    def room_for(self, pipeline: str) -> int:
        """How many more runs of the pipeline may come into memory."""
        return self._room.count_free(pipeline)

    @abstractmethod
    def bring_in_soon(self, pipeline: str) -> None:
        """Bring in some of the pipeline's runs that were left in the journal."""

    # -- keeping and letting go ---------------------------------------------------------------------------------

    def _keep(self, live: LiveRun) -> None:
        self.live[live.run] = live
        self._room.add(live.definition.spec.id)

    def _drop(self, live: LiveRun) -> None:
        """Forget a run; what of it is still under way comes to nothing."""
        live.is_gone = True
        live.progress.set()
        pipeline = live.definition.spec.id
        if self.live.get(live.run) is live:
            del self.live[live.run]
            self._room.remove(pipeline)
        for attempt in live.attempts.values():
            attempt.context.close()
        for task in (*live.tasks.values(), live.start):
            if task and task is not asyncio.current_task():
                task.cancel()
        self._give_back(live)
        if self._backlog.has_left(pipeline) and self._backlog.is_wanted(pipeline):
            self.bring_in_soon(pipeline)

    def let_go_soon(self, live: LiveRun) -> None:
        """Let go of a run if it only waits; where something is just being appended, whoever does that lets go then."""
        if not live.lock.locked():
            self._let_go_if_idle(live)

    def _let_go_if_idle(self, live: LiveRun) -> None:
        """Drop a run that has ended, and release one that waits for long: it costs no memory until it is due."""
        state = live.state
        if live.is_settling or live.is_gone:
            return
        if state.finished:
            pipeline = live.definition.spec.id
            metrics.count_run_finished(pipeline, state.status)
            _tell_end(live)
            self._drop(live)
            self.when_ended(live.run)
            self._ends.notify(live.run)
            self._answers.notify(live.run)
        elif (state.pauses and not live.is_at_work) or self._waits_for_long(live):
            if state.pauses:
                log.warning("run paused: %s", state.pause_reason, extra=log_fields(live.run, state.started))
            self._release(live)

    def _release(self, live: LiveRun) -> None:
        """Let go of a run that somebody is to take up again: who calls it, or the sweep when it is due."""
        due, stored = live.due(self._bench.now()), live.state.due
        was_set = due is not None and stored is not None and due < stored - STEP
        self._drop(live)
        self._journal.release([live.run], due if was_set else None).add_done_callback(partial(self._released, live.run))

    def _waits_for_long(self, live: LiveRun) -> bool:
        state = live.state
        if state.status not in ("waiting", "queued") or live.is_at_work:
            return False
        now = self._bench.now()
        due = live.due(now)
        if due is None or due <= now + self._patience:
            return False
        # Those that it called may end soon, and each end would bring it back, with its whole history.
        is_caller = any(state.steps[path].child for path in state.active)
        has_room = self.room_for(live.definition.spec.id) > 0
        return not is_caller or not has_room or now > live.moved_at + self._patience

    def _released(self, run: str, release: "asyncio.Future[None]") -> None:
        if not release.cancelled() and (error := release.exception()):
            log.warning("a run was not released: %s", error, extra={"run": run})
            self.set_adrift(run, counts=False)

    def give_up(self, run: str, error: BaseException, *, counts: bool = True, is_unbegun: bool = False) -> None:
        """Take the run up again later; show one that cannot be read as paused until then, and one whose handling fails
        again and again."""
        failures = self.failures.get(run, 0)
        if failures >= LASTING and not isinstance(error, (JournalError, SQLAlchemyError, OSError)):
            error = RunUnreadable(run, f"its handling failed {failures + 1} times, the last time with {error!r}")
        if not isinstance(error, RunUnreadable):
            self.set_adrift(run, counts=counts, is_unbegun=is_unbegun)
            return
        self.adrift[run] = RetryLater(Countdown(MENDING_PAUSES[-1], 0, 0), False, is_unbegun)
        task = asyncio.create_task(self._note_unreadable(run, error))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note_unreadable(self, run: str, error: RunUnreadable) -> None:
        try:
            has_ended = await self.unreadable.note(run, error)
        except JournalError:
            log.warning("a run that cannot be read is not shown as paused yet", exc_info=True, extra={"run": run})
            return
        if has_ended:
            self.adrift.pop(run, None)
            self.failures.pop(run, None)
            self.when_ended(run)
            self._ends.notify(run)
            self._answers.notify(run)

    def set_adrift(self, run: str, *, counts: bool = True, is_unbegun: bool = False) -> None:
        """Take the run up again after a pause; each time that it fails, the pause is longer."""
        failures = self.failures.get(run, 0)
        self.failures[run] = failures + 1
        pause = MENDING_PAUSES[min(failures, len(MENDING_PAUSES) - 1)]
        self.adrift[run] = RetryLater(Countdown(pause, 0, 0), counts, is_unbegun)

    def _give_back(self, live: LiveRun) -> None:
        """Give back the slot with which a run was to begin, if it holds one."""
        slot, live.slot = live.slot, None
        if slot:
            self._permits.give(slot)

    # -- what is under way for a run ----------------------------------------------------------------------------

    def _spawn(self, live: LiveRun, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, live))
        return task

    def _done(self, live: LiveRun, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("an attempt's own handling failed; its run is taken up again", exc_info=error)
            self._drop(live)
            self.give_up(live.run, error)

    def explain_wait(self, run: Run) -> str | None:
        """Which limit of Waypost's own a run waits for, as people read it; None if it waits for none."""
        live = self.live.get(run.id)
        if live is None:
            is_left = run.node is None and run.due_at is not None and run.due_at <= self._bench.now()
            return f"it waits for its turn: other runs of {run.pipeline} come first" if is_left else None
        if not live.waits:
            return None
        (path, what), *others = live.waits.items()
        return f"step {path} waits for {what}" + (f", and {len(others)} more steps wait" if others else "")

    # -- ends ---------------------------------------------------------------------------------------------------

    async def wait_for_end(self, run: str, seconds: float) -> None:
        """Return once the run has ended, the service drains, or the time is over."""

        async def is_over() -> bool:
            found = await self._journal.find_run(run)
            return found is None or found.finished_at is not None or self.is_draining

        await self._ends.wait(run, seconds, is_over)

    async def wait_for_answer(self, run: str, seconds: float) -> None:
        """Return once a step of the run has answered, the run has ended, the service drains, or the time is over."""

        async def is_over() -> bool:
            state = await self._journal.load_state(run)
            return state.answer is not None or state.finished is not None or self.is_draining

        await self._answers.wait(run, seconds, is_over)


def _nobody(run: str) -> None:
    """Nobody waits for a run's end."""


def _tell_end(live: LiveRun) -> None:
    """A line about the end of a run: of a failure, where and why."""
    fields = log_fields(live.run, live.state.started) | {"pipeline": live.definition.spec.id}
    error = live.state.error
    if error is None:
        log.info("run %s", live.state.status, extra=fields)
    else:
        log.error("run %s: %s", live.state.status, error.message, extra=fields | {"step": error.step})
