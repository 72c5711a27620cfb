"""Performs effects: attempts, timers, and the runs and events that a run starts.

Results always arrive as facts in the run's mailbox. A step that only waits for a time has a timer; a task exists only
from when an attempt may start until it has ended.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from durable.decide.outstanding import find_outstanding
from durable.effects import (
    Abandon,
    AwaitStart,
    Effect,
    EmitEvent,
    Perform,
    PublishAnswer,
    Resume,
    StartChild,
    Wake,
)
from durable.history.entries import AttemptStarted, Fact, StartDue, TimerFired
from durable.runner.advancer import Disk
from durable.runner.attempt import ActionRuntime, Attempt
from durable.runner.children import Children
from durable.runner.gates import ConnectionGate
from durable.runner.live_run import LiveRun, StepWork
from durable.runner.live_runs import LiveRuns
from durable.runner.permits import PermitLine
from durable.runner.timing import Countdown, RunTimer

Task: TypeAlias = asyncio.Task[None]

START = ""
"""The key, in `LiveRun.works`, of the start of a held-back run."""


class Performer:
    """Performs effects. `end_wait` posts to a run's inbox that the time of a wait is over. No attempt starts while the
    disk is full."""

    def __init__(
        self,
        runtime: ActionRuntime,
        runs: LiveRuns,
        children: Children,
        end_wait: Callable[[LiveRun, str], Coroutine[None, None, None]],
        disk: Disk,
    ) -> None:
        self._runtime = runtime
        self._runs = runs
        self._children = children
        self._end_wait = end_wait
        self._disk = disk
        self.tasks: set[asyncio.Task[None]] = set()

    def perform(self, run: LiveRun, effects: Sequence[Effect], *, is_recorded: bool = False) -> None:
        """Start to perform effects. `is_recorded`: they were decided earlier, perhaps by another process."""
        for effect in effects:
            match effect:
                case PublishAnswer():
                    self._runs.answers.notify(run.id)
                case _ if run.is_gone:
                    pass  # it stays outstanding, and a takeover performs it
                case Perform():
                    self._schedule_attempt(run, effect, is_recorded=is_recorded)
                case Wake():
                    self._schedule_wake(run, effect, is_recorded=is_recorded)
                case StartChild() | EmitEvent() if run.state.pauses:
                    pass  # it stays outstanding, and is performed when the run is resumed
                case StartChild():
                    self._start_outside(run, partial(self._children.start_child, run, effect, is_recorded=is_recorded))
                case EmitEvent():
                    self._start_outside(run, partial(self._children.emit_event, run, effect))
                case AwaitStart():
                    self._schedule_start(run, effect, is_recorded=is_recorded)
                case Abandon():
                    self._abandon(run, effect.path)
                case Resume():
                    self._resume(run)

    def _resume(self, run: LiveRun) -> None:
        """Perform the outstanding effects of a run that was paused, except those in progress."""
        effects = find_outstanding(run.definition, run.state, self._runtime.now())
        under_way = {path for path, work in run.works.items() if work.is_under_way}
        owed = [effect for effect in effects if getattr(effect, "path", START) not in under_way]
        self.perform(run, owed, is_recorded=True)

    def _abandon(self, run: LiveRun, path: str) -> None:
        """Stop the work of a step: its attempt, or its timer."""
        work = run.works.get(path)
        if work is None:
            return
        work.cancel()
        if work.attempt is None:  # otherwise its task may continue, and its successor waits for it
            del run.works[path]

    # -- attempts -----------------------------------------------------------------------------------------------

    def _schedule_attempt(self, run: LiveRun, effect: Perform, *, is_recorded: bool) -> None:
        path = effect.path
        before = run.works.get(path)
        run.works[path] = work = StepWork(path)
        previous = before.task if before else None
        run_attempt = partial(self._run_attempt, run, effect, work, previous, is_recorded=is_recorded)
        wait = self._begin_wait(run, path, effect.due, is_recorded=is_recorded)
        if wait is None:
            self._begin_task(work, run_attempt)
        else:
            work.timer = RunTimer(wait, self._runtime.now, partial(self._begin_task, work, run_attempt))

    async def _run_attempt(
        self, run: LiveRun, effect: Perform, work: StepWork, previous: Task | None, *, is_recorded: bool
    ) -> None:
        """Perform one attempt, when there is a permit for it and its predecessor has ended."""
        try:
            if previous and not previous.done():
                await asyncio.wait({previous})
            work.permit, run.permit = run.permit, None
            attempt = await self._prepare_attempt(run, effect, work, is_recorded=is_recorded)
            if attempt is None:
                return
            work.attempt, attempt.task = attempt, work.task
            if effect.starts_durably:
                started = AttemptStarted(at=self._runtime.now(), path=effect.path, attempt=effect.attempt)
                await run.put_and_wait(started)
            if not attempt.context.is_open or run.is_gone:
                return
            if fact := await attempt.perform():
                # The permit is returned when the result is in the history, so that a slow disk delays new attempts.
                permit, work.permit = work.permit, None
                run.put(fact, partial(self._runs.permits.give, permit) if permit else None)
        except Exception as error:  # noqa: BLE001  # the run is retried after any error
            self._runs.fail(run, error)
        finally:
            self._forget(run, work)
            if work.permit:
                self._runs.permits.give(work.permit)
            if work.turn:
                work.turn.decline()
            if work.attempt and work.attempt.gate_pass:
                work.attempt.gate_pass.leave()

    async def _prepare_attempt(
        self, run: LiveRun, effect: Perform, work: StepWork, *, is_recorded: bool
    ) -> Attempt | None:
        """Return an attempt with its input and, if it needs them, its permit and its pass of the gate of its
        connection; None if it must not start now."""
        permits, path, pipeline = self._runs.permits, effect.path, run.definition.id
        while True:
            if self._disk.is_full:
                await self._disk.wait_for_room()
            if not self._may_start(run, effect):
                return None
            is_recorded = is_recorded or run.state.retries > 0
            attempt = Attempt(self._runtime, run.definition, run.state, path, run.put, is_recorded=is_recorded)
            await attempt.prepare()
            target = attempt.target
            if target is None:
                return attempt
            gate = self._find_gate(attempt, name) if (name := attempt.context.connection_name) else None
            may_enter = gate is None or gate.may_enter(work.turn)
            if may_enter:
                permit = work.permit
                work.permit = permits.exchange(permit, target) if permit else permits.take_now(pipeline, target)
                if work.permit:
                    if gate:
                        attempt.admit(gate.enter(run.id, work.turn))
                        work.turn = None
                    return attempt
            if self._can_wait_outside(run, work):
                self._leave_in_journal(run)
                return None
            # The prepared input is not kept: thousands may be waiting, and secrets may change in the meantime.
            what = attempt.describe_target()
            del attempt
            work.number = work.number or self._runs.gates.take_number()
            if gate and not may_enter:
                await self._wait_at_gate(run, work, gate)
            else:
                await self._wait_for_permit(run, work, target, what)

    def _find_gate(self, attempt: Attempt, connection: str) -> ConnectionGate:
        return self._runs.gates.find(connection, attempt.use, self._runtime.find_limit)

    async def _wait_for_permit(self, run: LiveRun, work: StepWork, target: str, what: str) -> None:
        """Wait for a permit. A turn at a gate is given back, because others can use it meanwhile."""
        if turn := work.turn:
            work.turn = None
            turn.decline()
        run.lines[work.path] = what
        try:
            work.permit = await self._runs.permits.take(run.definition.id, target, run.priority)
        finally:
            del run.lines[work.path]

    async def _wait_at_gate(self, run: LiveRun, work: StepWork, gate: ConnectionGate) -> None:
        """Wait for a turn at the gate of a connection. A permit is given back, because others can use it meanwhile."""
        if permit := work.permit:
            work.permit = None
            self._runs.permits.give(permit)
        if turn := work.turn:
            work.turn = None
            turn.decline()
        run.lines[work.path] = turn = gate.make_turn(run.definition.id, run.priority, work.number)
        try:
            await gate.wait(turn)
        finally:
            del run.lines[work.path]
        work.turn = turn

    def _may_start(self, run: LiveRun, effect: Perform) -> bool:
        if self._runs.is_draining or run.is_gone or run.state.pauses:
            return False
        return effect.path in run.state.active and run.state.steps[effect.path].attempt == effect.attempt

    def _can_wait_outside(self, run: LiveRun, work: StepWork) -> bool:
        """Whether a run that has to wait for a permit leaves memory: enough runs before it wait in memory, and it has
        no other work."""
        if not self._runs.backlog.is_crowded(run.definition.id, run.priority):
            return False
        if len(run.works) - len(run.lines) > 1 or run.is_at_work:
            return False
        return all(path in run.lines or each is work for path, each in run.works.items())

    def _leave_in_journal(self, run: LiveRun) -> None:
        self._runs.backlog.add(run.definition.id, run.priority)
        self._runs.release(run)

    # -- what is due later --------------------------------------------------------------------------------------

    def _schedule_wake(self, run: LiveRun, effect: Wake, *, is_recorded: bool) -> None:
        run.works[effect.path] = work = StepWork(effect.path)
        wait = self._begin_wait(run, effect.path, effect.due, is_recorded=is_recorded)
        self._call_when_due(work, wait, partial(self._wake, run, effect, work))

    def _wake(self, run: LiveRun, effect: Wake, work: StepWork) -> None:
        path = effect.path
        if self._runs.is_draining:
            return
        if run.state.steps[path].can_be_answered:
            self._begin_task(work, partial(self._guard, run, partial(self._end_wait, run, path), work))
        else:
            self._forget(run, work)
            # The clock may have been set back, but a timer must not fire before its due time.
            run.put(TimerFired(at=max(self._runtime.now(), effect.due), path=path))

    def _schedule_start(self, run: LiveRun, effect: AwaitStart, *, is_recorded: bool) -> None:
        run.works[START] = work = StepWork(START)
        started = run.state.started
        wait: Countdown | int = effect.due
        if started is None or effect.due != started.not_before or started.is_delayed:
            wait = self._count_down(run, effect.due, run.state.started_at, is_recorded=is_recorded)
        self._call_when_due(work, wait, partial(self._begin_start, run, effect, work, is_recorded))

    def _begin_start(self, run: LiveRun, effect: AwaitStart, work: StepWork, is_recorded: bool) -> None:
        """Start a run that was held back."""
        if not run.state.is_queued or self._runs.is_draining:
            self._forget(run, work)
        elif effect.expires_at is None:
            self._forget(run, work)
            run.put(StartDue(at=max(self._runtime.now(), effect.due)))
        else:
            start = partial(self._start_with_permit, run, effect, effect.expires_at, run.early if is_recorded else 0)
            self._begin_task(work, partial(self._guard, run, start, work))

    async def _start_with_permit(self, run: LiveRun, effect: AwaitStart, expires_at: int, early: int) -> None:
        """Start a run that can expire. It needs a permit, which its first attempt takes over."""
        now = self._runtime.now()
        left = Countdown(expires_at, run.state.started_at, now, early).seconds_left
        run.permit = await self._take_permit_within(left, run)
        due = effect.due if run.permit else expires_at
        if not self._runs.is_draining:
            await run.put_and_wait(StartDue(at=max(self._runtime.now(), due)))
        await asyncio.sleep(0)  # lets the first attempt take over the permit
        self._runs.give_back(run)

    async def _take_permit_within(self, seconds: float, run: LiveRun) -> PermitLine | None:
        """Wait for a permit for that time; None if there was none."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._runs.permits.take(run.definition.id, None, run.priority)
        return None

    def _begin_wait(self, run: LiveRun, path: str, due: int, *, is_recorded: bool) -> Countdown | int | None:
        """Return what ends the wait of a step: a countdown, a time of the wall clock, or None if it is due now."""
        step = run.state.steps[path]
        if step.awaits and step.waits_for_moment:
            return due
        if step.decided_at is None or due <= step.decided_at:
            return None
        return self._count_down(run, due, step.decided_at, is_recorded=is_recorded)

    def _count_down(self, run: LiveRun, due: int, decided_at: int, *, is_recorded: bool) -> Countdown:
        return Countdown(due, decided_at, self._runtime.now(), run.early if is_recorded else 0)

    def _call_when_due(self, work: StepWork, wait: Countdown | int | None, then: Callable[[], None]) -> None:
        if wait is None:
            then()
        else:
            work.timer = RunTimer(wait, self._runtime.now, then)

    # -- tasks --------------------------------------------------------------------------------------------------

    def _start_outside(self, run: LiveRun, begin: "Callable[[], Coroutine[None, None, Fact | None]]") -> None:
        """Start a run or send an event; the run remains in memory until that is done."""
        run.pending += 1
        self._begin_task(None, partial(self._guard, run, partial(self._report_result, run, begin)))

    async def _report_result(self, run: LiveRun, begin: "Callable[[], Coroutine[None, None, Fact | None]]") -> None:
        fact = await begin()
        if fact:
            run.put(fact)
        if not self._runs.is_draining:  # a drain may have interrupted it; the run is then due at the next start
            run.pending -= 1
            self._runs.release_if_idle(run)

    def _begin_task(self, work: StepWork | None, begin: Callable[[], Coroutine[None, None, None]]) -> None:
        task = asyncio.get_running_loop().create_task(begin())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if work:
            work.task = task

    async def _guard(
        self, run: LiveRun, begin: Callable[[], Coroutine[None, None, None]], work: StepWork | None = None
    ) -> None:
        try:
            await begin()
        except Exception as error:  # noqa: BLE001  # the run is retried after any error
            self._runs.fail(run, error)
        finally:
            if work:
                self._forget(run, work)

    def _forget(self, run: LiveRun, work: StepWork) -> None:
        """Remove the work of a step, unless its successor has replaced it."""
        if run.works.get(work.path) is work:
            del run.works[work.path]
