"""The owner of the runs in memory: it carries facts into the core, appends what is decided, and performs the effects.

Nothing is performed before the append that decided it has been committed; where the disk is full the same append is
tried again and no effect starts.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from functools import partial

from durable.decide.advance import Advance
from durable.decide.outstanding import find_outstanding
from durable.effects import Abandon, AwaitStart, Effect, EmitEvent, Perform, PublishAnswer, Resume, StartChild, Wake
from durable.history.encoding import detach_values
from durable.history.entries import AnyEntry, AttemptLost, AttemptStarted, Fact, StartDue, TimerFired
from durable.journal.errors import JournalBusy, JournalFull
from durable.journal.journal import Journal
from durable.runner.attempt import ActionRuntime, Attempt, call_with_payloads
from durable.runner.keeper import Keeper
from durable.runner.live_run import LiveRun
from durable.runner.permits import SlotLine
from durable.runner.side_effects import build_side_effects
from durable.runner.timing import LOOK, Countdown, Wait
from durable.units import RunView, SideEffects

log = logging.getLogger("waypost.run")

FULL_DISK_PAUSE = 0.5
"""Seconds between two tries of an append while the disk is full."""


class Owner(Keeper):
    """Advances the runs in memory that this node owns."""

    def __init__(self, journal: Journal, bench: ActionRuntime, *, attempts: int, live_runs: int, patience: int) -> None:
        super().__init__(journal, bench, attempts=attempts, live_runs=live_runs, patience=patience)
        self._writable = asyncio.Event()
        self._writable.set()

    # -- advancing ----------------------------------------------------------------------------------------------

    async def report(self, live: LiveRun, fact: Fact, *, taken: Sequence[int] = ()) -> None:
        """Carry a fact through the core: decide, append in one commit, then perform what was decided."""
        live.pending += 1
        try:
            async with live.lock:
                if not live.is_gone:
                    await self._carry(live, fact, taken)
        except Exception as error:
            log.exception("the handling of a run failed; it is taken up again", extra={"run": live.run})
            self._drop(live)
            self.give_up(live.run, error, is_unbegun=live.is_unbegun)
        finally:
            live.pending -= 1
        self.let_go_soon(live)

    async def show(self, live: LiveRun) -> None:
        """Bring the run's row in line with its history."""
        async with live.lock:
            await self._append(live, (), (), None)

    async def discard(self, live: LiveRun, message: int) -> None:
        """Take a message out of the inbox that says nothing any more."""
        async with live.lock:
            if not live.is_gone:
                await self._append(live, (), [message], None)

    async def _carry(self, live: LiveRun, fact: Fact, taken: Sequence[int]) -> None:
        advance = Advance(live.definition, live.state, fact)
        await call_with_payloads(advance.follow, self._bench.payload)
        if not advance.entries and not taken:
            return
        also = build_side_effects(live.definition, live.state, advance.entries, advance.effects)
        is_progress = not isinstance(fact, AttemptLost)  # a lost attempt does not show that the run makes progress
        called = await self._append(live, advance.entries, taken, also, is_progress=is_progress)
        detach_values(advance.entries)
        live.moved_at = self._bench.now()
        self.adrift.pop(live.run, None)
        if is_progress:
            if self.failures:
                self.failures.pop(live.run, None)
            live.progress.set()
        self._perform(live, advance.effects)
        for run in called:
            self.call(run)

    async def _append(
        self,
        live: LiveRun,
        entries: Sequence[AnyEntry],
        taken: Sequence[int],
        also: SideEffects | None,
        *,
        is_progress: bool = True,
    ) -> Sequence[str]:
        """Append, again and again while the disk is full; what else the journal refuses is raised. The answer are the
        runs whose inbox has got a message by it."""
        after = live.state.entries - len(entries)
        view = RunView.of(live.state)
        try:
            while True:
                try:
                    return await self._journal.append(
                        live.run, live.epoch, after, entries, view, taken, also, is_progress=is_progress
                    )
                except (JournalFull, JournalBusy):
                    self._writable.clear()
                    await asyncio.sleep(FULL_DISK_PAUSE)
        finally:
            self._writable.set()

    def _perform(self, live: LiveRun, effects: Sequence[Effect], *, is_recorded: bool = False) -> None:
        """Set to work on what was decided."""
        for effect in effects:
            match effect:
                case PublishAnswer():
                    self._answers.notify(live.run)
                case _ if live.is_settling:
                    pass  # of a run that is being taken over it is outstanding in the end
                case Perform():
                    previous = live.tasks.get(effect.path)
                    wait = self._begin_wait(live, effect, is_recorded=is_recorded)
                    self._work(
                        live, effect.path, self._perform_when_due(live, effect, wait, previous, is_recorded=is_recorded)
                    )
                case Wake():
                    wait = self._begin_wait(live, effect, is_recorded=is_recorded)
                    self._work(live, effect.path, self._wake(live, effect, wait))
                case StartChild() | EmitEvent() if live.state.pauses:
                    pass  # it is outstanding when the run goes on
                case StartChild():
                    self._send(live, self.start_child(live, effect, is_recorded=is_recorded))
                case EmitEvent():
                    self._send(live, self.emit_from(live, effect))
                case AwaitStart():
                    wait = self._begin_wait(live, effect, is_recorded=is_recorded)
                    live.start = self._spawn(live, self._start_when_due(live, effect, wait, is_recorded=is_recorded))
                case Abandon():
                    self._abandon(live, effect.path)
                case Resume():
                    self._spawn(live, self._resume(live))

    def _send(self, live: LiveRun, work: Coroutine[None, None, None]) -> None:
        """Do something for which the run needs to stay in memory."""
        live.pending += 1
        self._spawn(live, self._errand(live, work))

    async def _errand(self, live: LiveRun, work: Coroutine[None, None, None]) -> None:
        await work
        if not self.is_draining:  # which may have cut it off: then the run is left to the next start
            live.pending -= 1
            self.let_go_soon(live)

    def _work(self, live: LiveRun, path: str, work: Coroutine[None, None, None]) -> None:
        live.tasks[path] = task = self._spawn(live, work)
        task.add_done_callback(partial(_forget, live, path))

    def _abandon(self, live: LiveRun, path: str) -> None:
        """Stop what is under way for a step: its attempt, or its waiting for a time."""
        if attempt := live.attempts.get(path):
            attempt.abandon()
        elif (task := live.tasks.get(path)) and task is not asyncio.current_task():
            task.cancel()

    async def _wake(self, live: LiveRun, effect: Wake, wait: Wait) -> None:
        await self._sleep(wait)
        if self.is_draining:
            return
        if live.state.steps[effect.path].can_be_answered:
            await self.end_wait(live, effect.path)
        else:
            # The clock may have been set back; what is due comes at its time, or later.
            await self.report(live, TimerFired(at=max(self._bench.now(), effect.due), path=effect.path))

    async def _resume(self, live: LiveRun) -> None:
        """Perform what is outstanding of a run that was paused, but for what is under way."""
        effects = find_outstanding(live.definition, live.state, self._bench.now())
        under_way = {path for path, task in live.tasks.items() if not task.done()}
        owed = [effect for effect in effects if getattr(effect, "path", None) not in under_way]
        self._perform(live, owed, is_recorded=True)

    # -- other runs ---------------------------------------------------------------------------------------------

    @abstractmethod
    def call(self, run: str) -> None:
        """There is a message in the inbox of a run: let it be taken soon."""

    @abstractmethod
    async def end_wait(self, live: LiveRun, path: str) -> None:
        """Nothing came for a wait in time; but what came before this is known takes precedence."""

    @abstractmethod
    async def start_child(self, live: LiveRun, effect: StartChild, *, is_recorded: bool) -> None:
        """Start the run that a step calls."""

    @abstractmethod
    async def emit_from(self, live: LiveRun, effect: EmitEvent) -> None:
        """Send the event of a step, and report its checkpoint."""

    async def _perform_when_due(
        self, live: LiveRun, effect: Perform, wait: Wait, previous: "asyncio.Task[None] | None", *, is_recorded: bool
    ) -> None:
        """Perform one attempt: when it is due, when there is a slot for it, and never beside its predecessor."""
        await self._sleep(wait)
        if previous and not previous.done():
            await asyncio.wait({previous})
        slot, live.slot = live.slot, None
        try:
            await self._writable.wait()
            while self._may_start(live, effect):
                attempt = self._make_attempt(live, effect, is_recorded=is_recorded)
                await attempt.prepare()
                target, pipeline = attempt.target, live.definition.spec.id
                if target is None:
                    return await self._attempt(live, effect, attempt)
                slot = self._permits.exchange(slot, target) if slot else self._permits.take_now(pipeline, target)
                if slot:
                    return await self._attempt(live, effect, attempt)
                if self._can_wait_outside(live):
                    return self._leave_in_journal(live)
                # What was prepared is not kept, since thousands may wait; and secrets may change meanwhile.
                live.lines[effect.path] = attempt.describe_target()
                del attempt
                slot = await self._permits.take(pipeline, target, live.priority)
                await self._writable.wait()
        finally:
            live.lines.pop(effect.path, None)
            if slot:
                self._permits.give(slot)

    async def _start_when_due(self, live: LiveRun, effect: AwaitStart, wait: Wait, *, is_recorded: bool) -> None:
        """Let a run begin that was held back. One that can expire needs a slot to begin, which its first attempt takes
        over."""
        await self._sleep(wait)
        if not live.state.is_queued:
            return
        due = effect.due
        if effect.expires_at is not None:
            early = live.early if is_recorded else 0
            left = Countdown(effect.expires_at, live.state.started_at, self._bench.now(), early).seconds_left
            live.slot = await self._take_slot_within(left, live)
            due = due if live.slot else effect.expires_at
        if not self.is_draining:
            await self.report(live, StartDue(at=max(self._bench.now(), due)))
        await asyncio.sleep(0)  # an attempt that begins now has taken the slot over when this goes on
        self._give_back(live)

    async def _take_slot_within(self, seconds: float, live: LiveRun) -> SlotLine | None:
        """A slot that could be taken in that time; None once it is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._permits.take(live.definition.spec.id, None, live.priority)
        return None

    def _begin_wait(self, live: LiveRun, effect: Perform | Wake | AwaitStart, *, is_recorded: bool) -> Wait:
        """Begin to count the time until an effect is due."""
        state = live.state
        if isinstance(effect, AwaitStart):
            started = state.started
            name, decided_at = "", state.started_at
            is_moment = started is not None and effect.due == started.not_before and not started.is_delayed
        else:
            step = state.steps[effect.path]
            name, is_moment = effect.path, step.waits_for_moment
            decided_at = effect.due if step.decided_at is None else step.decided_at
        if live.countdowns:
            live.countdowns.pop(name, None)
        if is_moment:
            return effect.due
        if effect.due <= decided_at:
            return None
        early = live.early if is_recorded else 0
        live.countdowns[name] = countdown = Countdown(effect.due, decided_at, self._bench.now(), early)
        return countdown

    async def _sleep(self, wait: Wait) -> None:
        if isinstance(wait, Countdown):
            await asyncio.sleep(wait.seconds_left)
        elif wait is not None:
            while (left := wait - self._bench.now()) > 0:  # noqa: ASYNC110  # a clock that is set sends no notification
                await asyncio.sleep(min(left / 1000, LOOK))

    def _make_attempt(self, live: LiveRun, effect: Perform, *, is_recorded: bool) -> Attempt:
        return Attempt(
            self._bench,
            live.definition,
            live.state,
            effect.path,
            partial(self.report, live),
            is_recorded=is_recorded,
        )

    async def _attempt(self, live: LiveRun, effect: Perform, attempt: Attempt) -> None:
        """Perform an attempt that has what it needs."""
        live.lines.pop(effect.path, None)
        live.attempts[effect.path] = attempt
        try:
            if effect.starts_durably:
                started = AttemptStarted(at=self._bench.now(), path=effect.path, attempt=effect.attempt)
                await self.report(live, started)
            if attempt.context.is_open and not live.is_gone:
                await attempt.perform()
        finally:
            if live.attempts.get(effect.path) is attempt:
                del live.attempts[effect.path]

    def _can_wait_outside(self, live: LiveRun) -> bool:
        """Whether a run that is to wait for a slot leaves memory: enough that come first wait here, and nothing else of
        it is under way."""
        if not self._backlog.is_crowded(live.definition.spec.id, live.priority):
            return False
        others = len(live.tasks) - len(live.lines) - 1
        if others > 1 or live.is_at_work or live.lock.locked():
            return False
        mine = asyncio.current_task()
        return all(path in live.lines or task is mine or task.done() for path, task in live.tasks.items())

    def _leave_in_journal(self, live: LiveRun) -> None:
        self._backlog.leave(live.definition.spec.id, live.priority)
        self._release(live)

    def _may_start(self, live: LiveRun, effect: Perform) -> bool:
        if self.is_draining or live.is_gone or live.state.pauses:
            return False
        return effect.path in live.state.active and live.state.steps[effect.path].attempt == effect.attempt


def _forget(live: LiveRun, path: str, task: "asyncio.Task[None]") -> None:
    """What is done for a step is done."""
    if live.tasks.get(path) is task:
        del live.tasks[path]
        live.countdowns.pop(path, None)
