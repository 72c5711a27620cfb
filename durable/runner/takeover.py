"""Takes over runs from the journal: those of a dead process, those that are due, and those for which there was no room.

Such a run is first updated with lost attempts, the messages in its inbox and a passed deadline. Then its outstanding
effects are performed, and it continues like any other run.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from durable import metrics
from durable.decide.outstanding import find_lost_attempts, find_outstanding
from durable.effects import Effect, PublishAnswer
from durable.history.entries import AttemptLost, RecoveryStopped
from durable.history.state import State
from durable.history.words import SEMANTICS
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.runner.advancer import OwnedRun
from durable.runner.live_run import LiveRun, RunLoop
from durable.runner.live_runs import LiveRuns
from durable.runner.performer import Performer
from durable.runner.replay import replay_history
from durable.runner.versions import Versions
from durable.units import Takeover

PAGE = 200
"""The maximum number of runs that are taken over at once."""

log = logging.getLogger("waypost.run")


class RunTakeover:
    """Takes over runs. Runs with ids less than `first` are left to other nodes. A run that was recovered more than
    `most_recoveries` times without progress is paused."""

    def __init__(
        self,
        journal: Journal,
        runs: LiveRuns,
        versions: Versions,
        loop: RunLoop,
        performer: Performer,
        now: Callable[[], int],
        *,
        first: str,
        most_recoveries: int,
    ) -> None:
        self._journal = journal
        self._runs = runs
        self._versions = versions
        self._loop = loop
        self._settling_loop = replace(loop, perform=self._publish_answers)
        self._performer = performer
        self._now = now
        self._first = first
        self._most_recoveries = most_recoveries
        self._in_progress: dict[str, asyncio.Future[LiveRun | None]] = {}
        self._bringing_in: set[str] = set()
        self._settled: set[str] = set()
        """Runs whose lost attempts are in the history, and that have started nothing since."""
        self.tasks: set[asyncio.Task[None]] = set()

    async def take_over(self, run: str, *, count_recovery: bool = False) -> LiveRun | None:
        """Take over an unfinished run and perform its outstanding effects; None if it has ended, is left to other
        nodes, or cannot be taken over now; the sweep then retries."""
        while run in self._in_progress:
            await asyncio.wait({self._in_progress[run]})
        if run in self._runs.by_id:
            return self._runs.by_id[run]
        if run < self._first:
            return None
        self._in_progress[run] = taking = asyncio.ensure_future(self._take_over(run, count_recovery=count_recovery))
        try:
            return await taking
        except Exception as error:
            log.exception("a run could not be taken over; the next sweep tries again", extra={"run": run})
            live = self._runs.by_id.get(run)
            if live:
                self._runs.drop(live)
            self._runs.retries.give_up(run, error, counts=count_recovery or live is not None)
            return None
        finally:
            self._in_progress.pop(run, None)

    async def _take_over(self, id: str, *, count_recovery: bool) -> LiveRun | None:
        taken = await self._journal.take_over(id, self._now(), count_recovery=count_recovery)
        if taken is None:
            self._runs.retries.runs.pop(id, None)
            self._settled.discard(id)
            return None
        run = await self._load(taken)
        self._runs.add(run)
        async with run.hold_mailbox():
            await self._settle(run, taken)
            if run.is_gone:
                return None
            self._runs.retries.note_taken(id)
            self._settled.discard(id)
            outstanding = find_outstanding(run.definition, run.state, self._now())
            self._performer.perform(run, outstanding, is_recorded=True)
        self._runs.release_if_idle(run)
        return run

    async def _load(self, taken: Takeover) -> LiveRun:
        definition = await self._versions.load_definition(taken.run, taken.version)
        state = await replay_history(self._journal, taken.run, taken.sequence)
        _ensure_known(state)
        early = _find_earliness(state, taken.due_at)
        run = LiveRun(taken.run, definition, state, taken.epoch, self._loop, early)
        run.count_down_to_deadline(self._now(), early)
        return run

    async def _settle(self, run: LiveRun, taken: Takeover) -> None:
        """Update the run with what happened while it had no owner, without performing effects."""
        loop, is_orphan = self._settling_loop, taken.was_owned and run.id not in self._settled
        # Lost attempts first: a cancel or a timeout would end a step before its lost attempt is in the history.
        for lost in find_lost_attempts(run.definition, run.state, self._now(), is_orphan=is_orphan):
            note_loss(run, lost)
            await loop.advance(run, lost)
        self._settled.add(run.id)
        await loop.take_inbox(run)
        if passed := run.find_passed_deadline(self._now()):
            await loop.advance(run, passed)
        if taken.recoveries > self._most_recoveries:
            await loop.advance(run, RecoveryStopped(at=self._now(), count=taken.recoveries))
        if taken.status == "paused" and not run.state.pauses and not run.is_gone:
            await loop.advancer.update(run)  # it was unreadable before

    def _publish_answers(self, run: LiveRun, effects: Sequence[Effect]) -> None:
        """Publish answers. They are the only effects performed during a takeover; the others are outstanding
        afterwards."""
        if any(isinstance(effect, PublishAnswer) for effect in effects):
            self._runs.answers.notify(run.id)

    # -- the backlog --------------------------------------------------------------------------------------------

    def take_over_soon(self, pipeline: str) -> None:
        """Take over some of the pipeline's runs that wait in the journal, in a task."""
        if self._runs.is_draining or pipeline in self._bringing_in:
            return
        task = asyncio.create_task(self._bring_in_logged(pipeline))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _bring_in_logged(self, pipeline: str) -> None:
        try:
            await self.take_over_due(pipeline, self._now())
        except Exception:
            log.exception("runs of %s could not be loaded; the next sweep tries again", pipeline)

    async def take_over_due(self, pipeline: str, before: int) -> None:
        """Take over runs of the pipeline that have no owner and are due before that time (ms), earliest first, as many
        as there is room for."""
        if pipeline in self._bringing_in:
            return
        self._bringing_in.add(pipeline)
        backlog = self._runs.backlog
        seen: set[str] = set()  # runs that cannot be taken over now come first again
        try:
            while not self._runs.is_draining and (wanted := min(PAGE, backlog.count_wanted(pipeline))):
                due = await self._journal.list_due(before, wanted + len(seen), pipeline)
                new = [run for run in due if run not in seen]
                seen.update(new)
                await asyncio.gather(*(self.take_over(run) for run in new))
                if len(new) < wanted:
                    backlog.forget(pipeline)
                    return
            backlog.add(pipeline, 0)
        finally:
            self._bringing_in.discard(pipeline)


def note_loss(run: OwnedRun, lost: AttemptLost) -> None:
    """Log and count an attempt whose result will never be known."""
    extra = {"run": run.id, "pipeline": run.definition.id, "step": lost.path, "attempt": lost.attempt}
    log.warning("attempt lost: %s", lost.error.message, extra=extra)
    metrics.count_lost_attempt(run.definition.actions[lost.path].step.use, lost.cause)


def _find_earliness(state: State, due_at: int | None) -> int:
    """Return how much earlier (ms) the run is due than its history says, because the clock was set back in the
    meantime."""
    if not due_at or state.due is None:  # 0 means due at once
        return 0
    return max(0, state.due - due_at)


def _ensure_known(state: State) -> None:
    """Raise `RunUnreadable` if the history follows decision rules that this core does not know."""
    semantics = state.started.semantics if state.started else SEMANTICS
    if semantics > SEMANTICS:
        what = f"a newer Waypost began it (rules {semantics}, here {SEMANTICS}): update this one"
        raise RunUnreadable(state.run, what)
