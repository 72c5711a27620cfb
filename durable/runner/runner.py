"""What takes runs in: those of new events, and those that somebody else left or that are due.

A run begins in the loop where its event was accepted, right after that commit.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from durable import metrics
from durable.decide.outstanding import find_lost_attempts, find_outstanding
from durable.definition import Definition
from durable.effects import EmitEvent, StartChild
from durable.history.encoding import detach_values
from durable.history.entries import (
    AttemptFailed,
    AttemptLost,
    ChildEnded,
    DeadlinePassed,
    RecoveryStopped,
    StepCompleted,
)
from durable.history.state import State
from durable.history.words import SEMANTICS, Failure
from durable.journal.errors import JournalBusy, JournalFull, RunUnreadable, TooManyRuns
from durable.journal.journal import Journal
from durable.runner.attempt import ActionRuntime, call_with_payloads
from durable.runner.calls import (
    DETACHED,
    NoPipelines,
    ServedPipelines,
    build_call_event,
    build_child,
    build_emitted_event,
    list_starts,
)
from durable.runner.claims import make_dedupe_key
from durable.runner.descent import DescentBound
from durable.runner.inbox import Inbox
from durable.runner.live_run import LiveRun
from durable.runner.replay import replay_history
from durable.runner.start import Begun, RunAddresses, Start, begin_run
from durable.units import Admission, Admitted, DedupeKey, Delivery, Descent, Event, ScheduleProgress
from durable.values import JSON, Value

PAGE = 200
"""Runs that are brought in together at most."""

WRITE_PAUSE = 0.2
"""Seconds after which a call or an event is tried again that could not be written."""

CUT_OFF_TIMEOUT = 5.0
"""Seconds within which a drain writes down the attempts that it has cut off; a full disk may keep it from that."""

log = logging.getLogger("waypost.run")


class Overloaded(Exception):
    """The service takes no more runs for now; `retry_after` is in seconds."""

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """Bounds of one node: attempts at once, runs in memory, recoveries without progress, runs that one event sets going
    through other runs; `evict_after` is how long (ms) a run waits before it leaves memory."""

    attempts_in_flight: int = 256
    live_runs: int = 10_000
    recoveries: int = 5
    runs_per_event: int = 10_000
    evict_after: int = 30_000


class Runner(Inbox):
    """Takes runs in and advances them; `pipelines` are what they can call, and what events start. Runs whose name is
    less than `first` are left to others."""

    def __init__(
        self,
        journal: Journal,
        bench: ActionRuntime,
        limits: RunnerLimits,
        *,
        addresses: RunAddresses,
        pipelines: ServedPipelines | None = None,
        first: str = "",
    ) -> None:
        super().__init__(
            journal,
            bench,
            attempts=limits.attempts_in_flight,
            live_runs=limits.live_runs,
            patience=limits.evict_after,
        )
        self._limits = limits
        self._descent_bound = DescentBound(limits.runs_per_event)
        self._addresses = addresses
        self._pipelines = pipelines or NoPipelines()
        self._first = first
        self._definitions: dict[str, Definition] = {}
        self._bringing_in: set[str] = set()

    # -- taking in ----------------------------------------------------------------------------------------------

    async def offer(self, *definitions: Definition) -> None:
        """Make definitions known to the journal, so that runs of them can begin."""
        now = self._bench.now()
        await asyncio.gather(
            *(self._journal.add_definition(each.version, each.spec.id, each.data, now) for each in definitions)
        )
        self._definitions |= {each.version: each for each in definitions}

    def knows(self, definition: Definition) -> bool:
        """Whether it was offered already."""
        return definition.version in self._definitions

    async def admit(
        self,
        event: Event,
        starts: Sequence[Start],
        *,
        dedupe_keys: Sequence[DedupeKey] = (),
        delivery: Delivery | None = None,
        schedule: ScheduleProgress | None = None,
    ) -> Admitted:
        """Start the runs of an event in one commit and return after it; raises `Overloaded` or a `JournalError`.

        The commit's completion starts the runs, whether or not anybody still waits for this call. A run for which there
        is no room in memory is left in the journal, and brought in when its turn comes.
        """
        self._ensure_open()
        return await self._commit(event, starts, dedupe_keys, delivery=delivery, schedule=schedule)

    async def _commit(
        self,
        event: Event,
        starts: Sequence[Start],
        dedupe_keys: Sequence[DedupeKey],
        *,
        delivery: Delivery | None = None,
        schedule: ScheduleProgress | None = None,
        keeps_keys: bool = False,
        descent: Descent | None = None,
    ) -> Admitted:
        begun = [self._seat(begin_run(event, start, self._addresses)) for start in starts]
        admission = Admission(
            event,
            [run.row(event) for run in begun],
            dedupe_keys,
            delivery,
            schedule=schedule,
            keeps_keys=keeps_keys,
            descent=descent,
        )
        committed = self._journal.admit(admission)
        for run in begun:
            if not run.is_left:
                self._room.add(run.definition.spec.id)
        committed.add_done_callback(partial(self._admitted, begun))
        return await asyncio.shield(committed)

    def _ensure_open(self) -> None:
        if self.is_draining:
            raise Overloaded("the service is shutting down", retry_after=5)
        if not self._writable.is_set():
            raise Overloaded("the disk is full", retry_after=30)

    def _seat(self, begun: Begun) -> Begun:
        """Decide whether a run comes into memory or is left in the journal. One that may expire does not wait there,
        since it is not checked there when it does."""
        state = begun.state
        pipeline, priority = begun.definition.spec.id, state.started.priority if state.started else 0
        may_expire = state.started is not None and state.started.expires_at is not None
        is_left = not self.room_for(pipeline) if may_expire else self._backlog.must_wait(pipeline, priority)
        if not is_left or state.finished:
            return begun
        self._backlog.leave(pipeline, priority)
        return replace(begun, is_left=True)

    def _admitted(self, begun: Sequence[Begun], committed: "asyncio.Future[Admitted]") -> None:
        for each in begun:
            if not each.is_left:
                self._room.remove(each.definition.spec.id)
        if committed.cancelled() or committed.exception() or committed.result().is_duplicate:
            return
        admitted = committed.result()
        for called in admitted.notified:
            self.call(called)
        for each in begun:
            if each.state.run in admitted.skipped:
                continue
            run = each.queued if each.queued and each.state.run in admitted.queued else each
            pipeline = run.definition.spec.id
            metrics.count_run_started(pipeline)
            log.debug("run started", extra={"run": run.state.run, "pipeline": pipeline})
            if not each.is_left:
                self._bring_in(run)
            elif self._backlog.is_wanted(pipeline):
                self._backlog.leave(pipeline, 0)  # it may have been forgotten meanwhile
                self.bring_in_soon(pipeline)

    def _bring_in(self, begun: Begun) -> None:
        """Take a new run into memory, unless a drain releases all runs."""
        if self.is_draining:
            return
        live = LiveRun(begun.state.run, begun.definition, begun.state, epoch=1)
        detach_values(begun.entries)
        self._keep(live)
        self._perform(live, begun.effects)
        self._let_go_if_idle(live)

    async def emit(self, event: Event, *, dedupe_keys: Sequence[DedupeKey] = ()) -> Admitted:
        """Admit an event, for those who wait for it and with the runs that it starts. It takes its claims even if it
        starts none."""
        self._ensure_open()
        return await self._commit(event, self._pipelines.starts(event), dedupe_keys, keeps_keys=True)

    # -- what a run sets going ----------------------------------------------------------------------------------

    async def end_wait(self, live: LiveRun, path: str) -> None:
        """The end goes through the inbox, where an answer that was taken stands before it, and after which none is."""
        due = live.state.steps[path].due or 0
        while not self.is_draining:
            at = max(self._bench.now(), due)  # the clock may have been set back
            try:
                await asyncio.shield(self._journal.post(live.run, "timer", Value.of({"path": path}), at, path))
            except (JournalFull, JournalBusy):
                await asyncio.sleep(WRITE_PAUSE)
            else:
                self.call(live.run)
                return

    async def start_child(self, live: LiveRun, effect: StartChild, *, is_recorded: bool) -> None:
        state, path, at = live.state, effect.path, self._bench.now()
        is_skipped = False
        given = await self._input(live, path)
        if not (is_recorded and await self._journal.find_run(effect.run)):
            start = build_child(state, path, effect.run, given, self._pipelines)
            if isinstance(start, Start):
                admitted = await self._admit_in_turn(state, path, build_call_event(state, path, at), [start])
            else:
                admitted = start
            if isinstance(admitted, Failure):
                at = self._bench.now()
                await self.report(live, ChildEnded(at=at, path=path, status="failed", error=admitted))
            if not isinstance(admitted, Admitted):
                return
            is_skipped = not admitted.runs
        if is_skipped:
            failure = Failure.of(
                None, "skipped", "as many runs as the pipeline's concurrency allows are under way", path
            )
            await self.report(live, ChildEnded(at=self._bench.now(), path=path, status="failed", error=failure))
        elif given.get(DETACHED):
            output = Value.of({"run": effect.run})
            await self.report(live, StepCompleted(at=self._bench.now(), path=path, attempt=1, output=output))

    async def emit_from(self, live: LiveRun, effect: EmitEvent) -> None:
        state, path, at = live.state, effect.path, self._bench.now()
        event = build_emitted_event(state, path, await self._input(live, path), at)
        admitted = await self._admit_in_turn(state, path, event, list_starts(state, event, self._pipelines))
        at = self._bench.now()
        match admitted:
            case Admitted():
                output = Value.of({"event": admitted.event, "runs": list(admitted.runs)})
                await self.report(live, StepCompleted(at=at, path=path, attempt=1, output=output))
            case Failure():
                await self.report(live, AttemptFailed(at=at, path=path, attempt=1, error=admitted, ending="not_sent"))

    async def _input(self, live: LiveRun, path: str) -> dict[str, JSON]:
        given = await call_with_payloads(live.state.steps[path].input.load, self._bench.payload)
        return given if isinstance(given, dict) else {}

    async def _admit_in_turn(
        self, state: State, path: str, event: Event, starts: Sequence[Start]
    ) -> Admitted | Failure | None:
        """Admit what a step asks for, as soon as it can be written, or say why not; None if the service drains before
        that."""
        dedupe_keys, descent = [make_dedupe_key(state, path, event.time)], self._descent_bound.descent(state)
        while not self.is_draining:
            try:
                self._ensure_open()
                return await self._commit(event, starts, dedupe_keys, keeps_keys=True, descent=descent)
            except TooManyRuns as refusal:
                return self._descent_bound.refuse(refusal, state, path, starts)
            except (Overloaded, JournalFull, JournalBusy):
                await asyncio.sleep(WRITE_PAUSE)
        return None

    # -- the backlog --------------------------------------------------------------------------------------------

    def bring_in_soon(self, pipeline: str) -> None:
        if self.is_draining or pipeline in self._bringing_in:
            return
        task = asyncio.create_task(self._bring_in_logged(pipeline))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring_in_logged(self, pipeline: str) -> None:
        try:
            await self.bring_in_left(pipeline, self._bench.now())
        except Exception:
            log.exception("runs of %s were not brought in; the sweep tries again", pipeline)

    async def bring_in_left(self, pipeline: str, before: int) -> None:
        """Bring in runs of the pipeline that nobody owns and that are due before that time (ms), as many as there is
        room for, the earliest first."""
        if pipeline in self._bringing_in:
            return
        self._bringing_in.add(pipeline)
        seen: set[str] = set()  # those that cannot be taken now are still there, the first in line
        try:
            while not self.is_draining and (wanted := min(PAGE, self._backlog.count_wanted(pipeline))):
                due = await self._journal.list_due(before, wanted + len(seen), pipeline)
                new = [run for run in due if run not in seen]
                seen.update(new)
                await asyncio.gather(*(self.adopt(run) for run in new))
                if len(new) < wanted:
                    self._backlog.forget(pipeline)
                    return
            self._backlog.leave(pipeline, 0)
        finally:
            self._bringing_in.discard(pipeline)

    def has_left(self, pipeline: str) -> bool:
        """Whether runs of the pipeline that are due may be left in the journal."""
        return self._backlog.has_left(pipeline)

    def shortest_timeout(self, pipeline: str) -> int | None:
        """Milliseconds in which a run of the pipeline must have ended, of all its versions that are known here."""
        timeouts = (each.spec.timeout for each in self._definitions.values() if each.spec.id == pipeline)
        return min(timeouts, default=None)

    # -- owning -------------------------------------------------------------------------------------------------

    async def adopt(self, run: str, *, count_recovery: bool = False) -> LiveRun | None:
        """Take over an unfinished run and perform what a restart owes it; None if it has ended, is left to others or
        cannot be taken now.

        A run that cannot be taken is set adrift: the sweep tries again.
        """
        while run in self._adopting:
            await asyncio.wait({self._adopting[run]})
        if run in self.live:
            return self.live[run]
        if run < self._first:
            return None
        self._adopting[run] = taking = asyncio.ensure_future(self._take_over(run, count_recovery=count_recovery))
        try:
            return await taking
        except Exception as error:
            log.exception("a run cannot be taken over now; the sweep tries again", extra={"run": run})
            is_unbegun = self._is_unbegun(run)
            if live := self.live.get(run):
                self._drop(live)
            self.give_up(run, error, counts=count_recovery, is_unbegun=is_unbegun)
            return None
        finally:
            self._adopting.pop(run, None)

    async def _take_over(self, run: str, *, count_recovery: bool) -> LiveRun | None:
        claimed = await self._journal.take_over(run, self._bench.now(), count_recovery=count_recovery)
        if claimed is None:
            self.adrift.pop(run, None)
            return None
        definition = await self._definition(run, claimed.version)
        state = await replay_history(self._journal, run, claimed.sequence)
        _ensure_known(state)
        is_orphan = claimed.was_owned and not self._is_unbegun(run)
        live = LiveRun(run, definition, state, claimed.epoch, is_settling=True, early=_earliness(state, claimed.due_at))
        self._keep(live)
        # Before anything else: a cancel or a timeout would end a step before its lost attempt is in the history.
        await self._report_lost(live, find_lost_attempts(definition, state, self._bench.now(), is_orphan=is_orphan))
        live.is_unbegun = True
        await self._take_messages(live)
        await self.check_deadline(live)
        if claimed.recoveries > self._limits.recoveries:
            await self.report(live, RecoveryStopped(at=self._bench.now(), count=claimed.recoveries))
        if live.is_gone:
            return None
        self.adrift.pop(run, None)
        self.unreadable.forget(run)
        if claimed.status == "paused" and not live.state.pauses:  # it could not be read, and can be now
            await self.show(live)
        live.is_settling = live.is_unbegun = False
        self._perform(live, find_outstanding(definition, live.state, self._bench.now()), is_recorded=True)
        self._let_go_if_idle(live)
        return live

    def _is_unbegun(self, run: str) -> bool:
        """Whether a takeover that failed has already written down what the owner before it lost."""
        holder = self.live.get(run) or self.adrift.get(run)
        return holder is not None and holder.is_unbegun

    async def _report_lost(self, live: LiveRun, lost: Sequence[AttemptLost]) -> None:
        for fact in lost:
            log.warning(
                "attempt lost: %s",
                fact.error.message,
                extra={"run": live.run, "step": fact.path, "attempt": fact.attempt},
            )
            await self.report(live, fact)

    async def check_deadline(self, live: LiveRun) -> None:
        """End what has run out of time."""
        now = self._bench.now()
        deadline = None if live.state.finished else live.count_down_to_deadline(now)
        if deadline and not deadline.seconds_left:
            await self.report(live, DeadlinePassed(at=max(now, live.state.deadline or 0)))

    async def _definition(self, run: str, version: str) -> Definition:
        if version not in self._definitions:
            data = await self._journal.load_definition(version)
            if data is None:
                raise RunUnreadable(run, f"the journal holds no definition of its version {version}")
            try:
                self._definitions[version] = Definition.load(data)
            except (ValueError, LookupError, TypeError) as error:
                raise RunUnreadable(run, f"the definition of its version {version} is damaged ({error})") from error
        return self._definitions[version]

    # -- shutting down ------------------------------------------------------------------------------------------

    def begin_draining(self) -> None:
        """Take in and start nothing more, and let nobody wait any longer for the end or the answer of a run."""
        self.is_draining = True
        self._ends.notify_all()
        self._answers.notify_all()

    async def drain(self, timeout: float) -> None:
        """Start nothing more, let the attempts under way end within `timeout` seconds, and let go of every run.

        What is cut off then has an unknown ending, as if the process had died, but nobody is suspected for it.
        """
        self.begin_draining()
        under_way = {live.tasks[path] for live in self.live.values() for path in live.attempts}
        if under_way:
            log.info("draining: %d attempts are under way", len(under_way))
            await asyncio.wait(under_way, timeout=timeout)
        untold = await self._cut_off()
        owing = [live.run for live in self.live.values() if live.pending]
        for live in list(self.live.values()):
            self._drop(live)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1)
        # A run whose losses are not written stays owned, so that the next start finds them. One that was cut off while
        # it set something going is due at once: its own time may be far away.
        await self._journal.release_all(kept=untold.union(self.adrift), due=owing)

    async def _cut_off(self) -> set[str]:
        """End the attempts that are still under way, and write them down as lost; the runs of which that failed."""
        await asyncio.sleep(0)  # what has timed out just now takes its turn to report that
        writing: dict[asyncio.Task[None], str] = {}
        for live in self.live.values():
            at = self._bench.now()
            lost = [
                AttemptLost(at=at, path=path, attempt=each.number, cause="drain", started_at=each.started_at)
                for path, each in live.attempts.items()
                if each.context.is_open
            ]
            for fact in lost:
                live.attempts[fact.path].abandon()
            if lost or live.lock.locked():
                writing[asyncio.create_task(self._write_endings(live, lost))] = live.run
        if not writing:
            return set()
        _, pending = await asyncio.wait(writing, timeout=CUT_OFF_TIMEOUT)
        return {writing[task] for task in pending}

    async def _write_endings(self, live: LiveRun, lost: Sequence[AttemptLost]) -> None:
        """Return once these losses are written, and whatever was reported before."""
        await self._report_lost(live, lost)
        async with live.lock:
            pass


def _earliness(state: State, due_at: int | None) -> int:
    """By how much the run is due before the time that its history names, as the clock was set back meanwhile (ms)."""
    if not due_at or state.due is None:  # 0 is due at once
        return 0
    return max(0, state.due - due_at)


def _ensure_known(state: State) -> None:
    """Raise `RunUnreadable` for a history of rules that this core does not know: it would decide otherwise."""
    semantics = state.started.semantics if state.started else SEMANTICS
    if semantics > SEMANTICS:
        what = f"a newer Waypost began it (rules {semantics}, here {SEMANTICS}): update this one"
        raise RunUnreadable(state.run, what)
