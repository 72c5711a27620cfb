"""The owner of the runs in memory: it carries facts into the core, appends what is decided, and performs the effects.

Nothing is performed before the append that decided it has been committed; where the disk is full the same append is
tried again and no effect starts.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from durable import metrics
from durable.decide import (
    Abandon,
    Advance,
    AwaitStart,
    Call,
    Effect,
    Emit,
    Perform,
    Respond,
    Resume,
    Wake,
    outstanding,
)
from durable.definition import Definition
from durable.history import AnyEntry, AttemptStarted, Fact, StartDue, State, TimerFired, detach
from durable.journal import Beside, Journal, JournalBusy, JournalFull, RunView
from durable.runner.attempt import Attempt, Workbench, loaded
from durable.runner.beside import beside
from durable.runner.folding import folded
from durable.runner.slots import Slots
from durable.runner.watches import Watches

log = logging.getLogger("waypost.run")

FULL_DISK_PAUSE = 0.5
"""Seconds between two tries of an append while the disk is full."""

MENDING_PAUSES = (1_000, 5_000, 30_000, 300_000)
"""Milliseconds after which a run whose handling failed is taken up again: the first time, the next, and so on."""


@dataclass(eq=False, slots=True)
class Adrift:
    """A run that this node may own in the journal and does not advance: when to take it up again, after how many
    failures, and whether that counts as a recovery."""

    due: int
    failures: int
    counts: bool


@dataclass(eq=False, slots=True)
class Live:
    """A run in memory, owned by this node under `epoch`. `is_settling` while it is being taken over; `holds_slot` from
    its beginning to its first attempt, if it could expire. While it `is_taking` what is in its inbox, it may be
    `is_called` again."""

    run: str
    definition: Definition
    state: State
    epoch: int
    is_settling: bool = False
    is_gone: bool = False
    attempts: dict[str, Attempt] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    start: asyncio.Task[None] | None = None
    errands: int = 0
    moved_at: int = 0
    is_called: bool = False
    is_taking: bool = False
    holds_slot: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_at_work(self) -> bool:
        """Whether something of it is under way that its state does not tell of."""
        is_performing = any(attempt.context.is_open for attempt in self.attempts.values())
        return is_performing or self.errands > 0 or self.is_taking

    @property
    def priority(self) -> int:
        return self.state.started.priority if self.state.started else 0


class Owner(ABC):
    """Advances the runs in memory that this node owns: `attempts` of them at once. A run that waits for longer than
    `patience` (ms) leaves memory."""

    def __init__(self, journal: Journal, bench: Workbench, *, attempts: int, patience: int) -> None:
        self._journal = journal
        self._bench = bench
        self._patience = patience
        self._slots = Slots(attempts)
        self._writable = asyncio.Event()
        self._writable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends = Watches()
        self._answers = Watches()
        self.live: dict[str, Live] = {}
        self.adrift: dict[str, Adrift] = {}
        self.is_draining = False
        self.when_ended: Callable[[str], None] = _nobody
        """Is told of every run that has ended."""

    # -- advancing ----------------------------------------------------------------------------------------------

    async def report(self, live: Live, fact: Fact, *, taken: Sequence[int] = ()) -> None:
        """Carry a fact through the core: decide, append in one commit, then perform what was decided."""
        live.errands += 1
        try:
            async with live.lock:
                if not live.is_gone:
                    await self._carry(live, fact, taken)
        except Exception:
            log.exception("the handling of a run failed; it is taken up again", extra={"run": live.run})
            self._drop(live)
            self.set_adrift(live.run)
        finally:
            live.errands -= 1
        self.let_go_soon(live)

    async def discard(self, live: Live, message: int) -> None:
        """Take a message out of the inbox that says nothing any more."""
        async with live.lock:
            if not live.is_gone:
                await self._append(live, (), [message], None)

    async def _carry(self, live: Live, fact: Fact, taken: Sequence[int]) -> None:
        advance = Advance(live.definition, live.state, fact)
        await loaded(advance.follow, self._bench.payload)
        if not advance.entries and not taken:
            return
        also = beside(live.definition, live.state, advance.entries, advance.effects)
        called = await self._append(live, advance.entries, taken, also)
        detach(advance.entries)
        live.moved_at = self._bench.now()
        self.adrift.pop(live.run, None)
        live.progress.set()
        self._perform(live, advance.effects)
        for run in called:
            self.call(run)

    async def _append(
        self, live: Live, entries: Sequence[AnyEntry], taken: Sequence[int], also: Beside | None
    ) -> Sequence[str]:
        """Append, again and again while the disk is full; what else the journal refuses is raised. The answer are the
        runs whose inbox has got a message by it."""
        after = live.state.entries - len(entries)
        view = RunView.of(live.state)
        try:
            while True:
                try:
                    return await self._journal.append(live.run, live.epoch, after, entries, view, taken, also)
                except (JournalFull, JournalBusy):
                    self._writable.clear()
                    await asyncio.sleep(FULL_DISK_PAUSE)
        finally:
            self._writable.set()

    def _perform(self, live: Live, effects: Sequence[Effect], *, is_recorded: bool = False) -> None:
        """Set to work on what was decided; of a run that is being taken over all of it is outstanding in the end."""
        if live.is_settling:
            return
        for effect in effects:
            match effect:
                case Perform():
                    previous = live.tasks.get(effect.path)
                    self._work(
                        live, effect.path, self._perform_when_due(live, effect, previous, is_recorded=is_recorded)
                    )
                case Wake():
                    self._work(live, effect.path, self._wake(live, effect))
                case Call() | Emit() if live.state.pauses:
                    pass  # it is outstanding when the run goes on
                case Call():
                    self._send(live, self.start_child(live, effect, is_recorded=is_recorded))
                case Emit():
                    self._send(live, self.emit_from(live, effect))
                case Respond():
                    self._answers.tell(live.run)
                case AwaitStart():
                    live.start = self._spawn(live, self._start_when_due(live, effect))
                case Abandon():
                    self._abandon(live, effect.path)
                case Resume():
                    self._spawn(live, self._resume(live))

    def _send(self, live: Live, work: Coroutine[None, None, None]) -> None:
        """Do something for which the run needs to stay in memory."""
        live.errands += 1
        self._spawn(live, self._errand(live, work))

    async def _errand(self, live: Live, work: Coroutine[None, None, None]) -> None:
        await work
        if not self.is_draining:  # which may have cut it off: then the run is left to the next start
            live.errands -= 1
            self.let_go_soon(live)

    def _work(self, live: Live, path: str, work: Coroutine[None, None, None]) -> None:
        live.tasks[path] = task = self._spawn(live, work)
        task.add_done_callback(partial(_forget, live, path))

    def _abandon(self, live: Live, path: str) -> None:
        """Stop what is under way for a step: its attempt, or its waiting for a time."""
        if attempt := live.attempts.get(path):
            attempt.abandon()
        elif (task := live.tasks.get(path)) and task is not asyncio.current_task():
            task.cancel()

    async def _wake(self, live: Live, effect: Wake) -> None:
        await self._until(effect.due)
        if self.is_draining:
            return
        if any(each.due is None for each in live.state.steps[effect.path].awaits):
            await self.end_wait(live, effect.path)
        else:
            await self.report(live, TimerFired(at=self._bench.now(), path=effect.path))

    async def _resume(self, live: Live) -> None:
        """Perform what is outstanding of a run that was paused, but for what is under way."""
        facts, effects = outstanding(live.definition, live.state, self._bench.now())
        for fact in facts:
            if getattr(fact, "path", None) not in live.attempts:
                await self.report(live, fact)
        under_way = {path for path, task in live.tasks.items() if not task.done()}
        owed = [effect for effect in effects if getattr(effect, "path", None) not in under_way]
        self._perform(live, owed, is_recorded=True)

    # -- other runs ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def room(self) -> int:
        """How many more runs may come into memory."""

    @abstractmethod
    def call(self, run: str) -> None:
        """There is a message in the inbox of a run: let it be taken soon."""

    @abstractmethod
    async def end_wait(self, live: Live, path: str) -> None:
        """Nothing came for a wait in time; but what came before this is known takes precedence."""

    @abstractmethod
    async def start_child(self, live: Live, effect: Call, *, is_recorded: bool) -> None:
        """Start the run that a step calls."""

    @abstractmethod
    async def emit_from(self, live: Live, effect: Emit) -> None:
        """Send the event of a step, and report its checkpoint."""

    async def _perform_when_due(
        self, live: Live, effect: Perform, previous: "asyncio.Task[None] | None", *, is_recorded: bool
    ) -> None:
        """Perform one attempt: when it is due, when a slot is free, and never beside its predecessor."""
        await self._until(effect.due)
        if previous and not previous.done():
            await asyncio.wait({previous})
        if not live.holds_slot:
            await self._slots.take(live.priority)
        live.holds_slot = False
        try:
            await self._writable.wait()
            if self._may_start(live, effect):
                await self._attempt(live, effect, is_recorded=is_recorded)
        finally:
            self._slots.give()

    async def _start_when_due(self, live: Live, effect: AwaitStart) -> None:
        """Let a run begin that was held back. One that can expire needs a slot to begin, which its first attempt takes
        over."""
        await self._until(effect.due)
        if effect.expires_at is not None:
            live.holds_slot = await self._slot_before(effect.expires_at, live.priority)
        if not self.is_draining:
            await self.report(live, StartDue(at=self._bench.now()))
        await asyncio.sleep(0)  # an attempt that begins now has taken the slot over when this goes on
        if live.holds_slot:
            self._give_back(live)

    async def _slot_before(self, end: int, priority: int) -> bool:
        """Whether a slot could be taken before that time (ms); if not, it has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout((end - self._bench.now()) / 1000):
                await self._slots.take(priority)
                return True
        await self._until(end)
        return False

    def _give_back(self, live: Live) -> None:
        live.holds_slot = False
        self._slots.give()

    async def _until(self, due: int) -> None:
        while (wait := due - self._bench.now()) > 0:  # noqa: ASYNC110  # again, if the clock was set back meanwhile
            await asyncio.sleep(wait / 1000)

    async def _attempt(self, live: Live, effect: Perform, *, is_recorded: bool) -> None:
        report = partial(self.report, live)
        attempt = Attempt(self._bench, live.definition, live.state, effect.path, report, is_recorded=is_recorded)
        live.attempts[effect.path] = attempt
        try:
            if effect.starts_durably:
                await report(AttemptStarted(at=self._bench.now(), path=effect.path, attempt=effect.attempt))
            if attempt.context.is_open and not live.is_gone:
                await attempt.perform()
        finally:
            if live.attempts.get(effect.path) is attempt:
                del live.attempts[effect.path]

    def _may_start(self, live: Live, effect: Perform) -> bool:
        if self.is_draining or live.is_gone or live.state.pauses:
            return False
        return effect.path in live.state.active and live.state.steps[effect.path].attempt == effect.attempt

    def _spawn(self, live: Live, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, live))
        return task

    def _done(self, live: Live, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("an attempt's own handling failed; its run is taken up again", exc_info=error)
            self._drop(live)
            self.set_adrift(live.run)

    # -- keeping and letting go ---------------------------------------------------------------------------------

    def _keep(self, live: Live) -> None:
        self.live[live.run] = live
        metrics.LIVE_RUNS.set(len(self.live))

    def _drop(self, live: Live) -> None:
        """Forget a run; what of it is still under way comes to nothing."""
        live.is_gone = True
        live.progress.set()
        if self.live.get(live.run) is live:
            del self.live[live.run]
        metrics.LIVE_RUNS.set(len(self.live))
        for attempt in live.attempts.values():
            attempt.context.close()
        for task in (*live.tasks.values(), live.start):
            if task and task is not asyncio.current_task():
                task.cancel()
        if live.holds_slot:
            self._give_back(live)

    def let_go_soon(self, live: Live) -> None:
        """Let go of a run if it only waits; where something is just being appended, whoever does that lets go then."""
        if not live.lock.locked():
            self._let_go_if_idle(live)

    def _let_go_if_idle(self, live: Live) -> None:
        """Drop a run that has ended, and release one that waits for long: it costs no memory until it is due."""
        state = live.state
        if live.is_settling or live.is_gone:
            return
        if state.finished:
            pipeline = live.definition.spec.id
            metrics.run_finished(pipeline, state.status)
            _tell_end(live)
            self._drop(live)
            self.when_ended(live.run)
            self._ends.tell(live.run)
            self._answers.tell(live.run)
        elif (state.pauses and not live.is_at_work) or self._waits_for_long(live):
            if state.pauses:
                log.warning("run paused: %s", state.paused, extra={"run": live.run})
            self._release(live)

    def _release(self, live: Live) -> None:
        """Let go of a run that somebody is to take up again: who calls it, or the sweep when it is due."""
        self._drop(live)
        self._journal.release([live.run]).add_done_callback(partial(self._released, live.run))

    def _waits_for_long(self, live: Live) -> bool:
        state = live.state
        if state.status not in ("waiting", "queued") or live.is_at_work:
            return False
        due, now = state.due, self._bench.now()
        if due is None or due <= now + self._patience:
            return False
        # Those that it called may end soon, and each end would bring it back, with its whole history.
        is_caller = any(state.steps[path].child for path in state.active)
        return not is_caller or not self.room or now > live.moved_at + self._patience

    def _released(self, run: str, release: "asyncio.Future[None]") -> None:
        if not release.cancelled() and (error := release.exception()):
            log.warning("a run was not released: %s", error, extra={"run": run})
            self.set_adrift(run, counts=False)

    def set_adrift(self, run: str, *, counts: bool = True) -> None:
        """Take the run up again after a pause; each time that it fails, the pause is longer."""
        failures = self.adrift[run].failures + 1 if run in self.adrift else 0
        pause = MENDING_PAUSES[min(failures, len(MENDING_PAUSES) - 1)]
        self.adrift[run] = Adrift(self._bench.now() + pause, failures, counts)

    # -- ends ---------------------------------------------------------------------------------------------------

    async def wait_for_end(self, run: str, seconds: float) -> None:
        """Return once the run has ended, the service drains, or the time is over."""

        async def is_over() -> bool:
            found = await self._journal.run(run)
            return found is None or found.finished_at is not None or self.is_draining

        await self._ends.wait(run, seconds, is_over)

    async def wait_for_answer(self, run: str, seconds: float) -> None:
        """Return once a step of the run has answered, the run has ended, the service drains, or the time is over."""

        async def is_over() -> bool:
            state = await folded(self._journal, run)
            return state.answer is not None or state.finished is not None or self.is_draining

        await self._answers.wait(run, seconds, is_over)


def _forget(live: Live, path: str, task: "asyncio.Task[None]") -> None:
    """What is done for a step is done."""
    if live.tasks.get(path) is task:
        del live.tasks[path]


def _nobody(run: str) -> None:
    """Nobody waits for a run's end."""


def _tell_end(live: Live) -> None:
    """A line about the end of a run: of a failure, where and why."""
    fields = {"run": live.run, "pipeline": live.definition.spec.id}
    error = live.state.error
    if error is None:
        log.info("run %s", live.state.status, extra=fields)
    else:
        log.error("run %s: %s", live.state.status, error.message, extra=fields | {"step": error.step})
