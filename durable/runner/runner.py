"""The embedded engine: advances runs in this process, each in a loop of its own.

A run starts in the event loop that accepted its event, immediately after the commit.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from durable.definition import Definition
from durable.engine import Forked, ForkOrder, RetryOutcome, ServedPipelines, Start
from durable.history.encoding import detach_values
from durable.history.words import Verdict
from durable.journal.journal import Journal
from durable.journal.ownership import FIRST_EPOCH
from durable.messages import AnswerMessage, CancelMessage, ResolveMessage, ResumeMessage
from durable.reports import GateReport, PermitReport
from durable.runner.advancer import Advancer, Disk
from durable.runner.attempt import ActionRuntime
from durable.runner.children import Children
from durable.runner.descent import DescentBound
from durable.runner.drain import drain_runs
from durable.runner.forks import begin_fork
from durable.runner.inbox import InboxReader
from durable.runner.intake import Intake
from durable.runner.live_run import LiveRun, RunLoop
from durable.runner.live_runs import LiveRuns, RunnerLimits
from durable.runner.messenger import Messenger
from durable.runner.outside_call import call_outside
from durable.runner.performer import Performer
from durable.runner.reopening import Reopener
from durable.runner.start import BegunRun, RunAddresses
from durable.runner.takeover import RunTakeover
from durable.runner.versions import Versions
from durable.units import Admitted, DedupeKey, Delivery, Event, PostOutcome, Run, ScheduleProgress
from durable.values import JSON

BUSY_COMMITS = 64
"""Units that wait for their commit while the engine is busy."""


class Runner:
    """Connects the parts that admit events and advance runs. `pipelines` are those that runs can call and events can
    start. Runs with ids less than `first` are left to other nodes."""

    def __init__(
        self,
        journal: Journal,
        runtime: ActionRuntime,
        limits: RunnerLimits,
        *,
        addresses: RunAddresses,
        pipelines: ServedPipelines,
        first: str = "",
    ) -> None:
        self._journal = journal
        self._now = now = runtime.now
        self._pipelines = pipelines
        self._runtime = runtime
        self.runs = LiveRuns(journal, now, limits, self._take_over_soon)
        self.versions = Versions(journal)
        disk = Disk()
        advancer = Advancer(journal, runtime.payload, disk)
        self._intake = Intake(
            journal,
            self.runs,
            addresses,
            disk,
            bring_in=self._bring_in,
            take_over_soon=self._take_over_soon,
            wake=self._wake,
        )
        children = Children(journal, runtime, self._intake, pipelines, DescentBound(limits.runs_per_event))
        self.messenger = Messenger(journal, self.runs, now, self._take_over)
        self._performer = Performer(runtime, self.runs, children, self.messenger.end_wait, disk)
        self._loop = RunLoop(
            advancer,
            InboxReader(journal, runtime.payload, now),
            self.runs.retries,
            perform=self._performer.perform,
            wake=self._wake,
            settle=self.runs.release_if_idle,
            fail=self.runs.fail,
        )
        self.takeover = RunTakeover(
            journal,
            self.runs,
            self.versions,
            self._loop,
            self._performer,
            now,
            first=first,
            most_recoveries=limits.recoveries,
        )
        self._reopener = Reopener(journal, self.runs, self.versions, self.messenger, self.takeover, now)

    # -- taking in ----------------------------------------------------------------------------------------------

    async def offer(self, *definitions: Definition) -> None:
        await self.versions.offer(*definitions, at=self._now())

    def knows(self, definition: Definition) -> bool:
        return self.versions.knows(definition)

    async def admit(
        self,
        event: Event,
        starts: Sequence[Start],
        *,
        dedupe_keys: Sequence[DedupeKey] = (),
        delivery: Delivery | None = None,
        schedule: ScheduleProgress | None = None,
        is_recorded: bool = False,
        free_keys: Sequence[DedupeKey] = (),
        renews: tuple[str, ...] | None = None,
    ) -> Admitted:
        return await self._intake.commit(
            event,
            starts,
            dedupe_keys,
            delivery=delivery,
            schedule=schedule,
            is_recorded=is_recorded,
            free_keys=free_keys,
            renews=renews,
        )

    async def fork(
        self, event: Event, start: Start, order: ForkOrder, *, dedupe_keys: Sequence[DedupeKey] = ()
    ) -> Forked:
        begun = await begin_fork(self._journal, self.versions, self._intake.addresses, event, start, order)
        admitted = await self._intake.commit(event, [start], dedupe_keys, is_recorded=True, fork=begun.run)
        return Forked(admitted, begun.copied, begun.again)

    async def emit(
        self, event: Event, *, dedupe_keys: Sequence[DedupeKey] = (), traceparent: str | None = None
    ) -> Admitted:
        starts = [replace(start, traceparent=traceparent) for start in self._pipelines.starts(event)]
        return await self._intake.commit(event, starts, dedupe_keys, keeps_keys=True)

    def _bring_in(self, begun: BegunRun) -> None:
        """Add a new run to memory, unless a drain is releasing all runs."""
        if self.runs.is_draining:
            return
        run = LiveRun(begun.state.run, begun.definition, begun.state, FIRST_EPOCH, self._loop)
        detach_values(begun.entries)
        self.runs.add(run)
        self._performer.perform(run, begun.effects)
        self.runs.release_if_idle(run)

    def _take_over_soon(self, pipeline: str) -> None:
        self.takeover.take_over_soon(pipeline)

    async def _take_over(self, run: str) -> LiveRun | None:
        return await self.takeover.take_over(run)

    # -- messages -----------------------------------------------------------------------------------------------

    async def cancel(
        self, run: str, reason: str | None = None, by: str | None = None, *, once: DedupeKey | None = None
    ) -> bool:
        return await self.messenger.post(run, CancelMessage(reason, by), once=once) == "posted"

    async def answer(self, run: str, path: str, name: str, data: JSON, by: str | None = None) -> PostOutcome:
        return await self.messenger.post(run, AnswerMessage(path, name, data, by), path)

    async def resolve(
        self, run: str, path: str, verdict: Verdict, *, output: JSON = None, by: str | None, reason: str | None
    ) -> bool:
        return await self.messenger.post(run, ResolveMessage(path, verdict, output, by, reason)) == "posted"

    async def resume(self, run: str, by: str | None, reason: str | None = None) -> bool:
        return await self.messenger.post(run, ResumeMessage(by, reason)) == "posted"

    async def retry(
        self, run: str, *, by: str | None, reason: str | None, once: DedupeKey | None = None
    ) -> RetryOutcome:
        return await self._reopener.retry(run, by, reason, once)

    def _wake(self, run: str) -> None:
        self.messenger.wake(run)

    # -- ends ---------------------------------------------------------------------------------------------------

    @property
    def when_ended(self) -> Callable[[str], None]:
        return self.runs.when_ended

    @when_ended.setter
    def when_ended(self, call: Callable[[str], None]) -> None:
        self.runs.when_ended = call

    def explain_progress(self, run: Run) -> str | None:
        return self.runs.explain_progress(run)

    def apply_limits(self) -> None:
        self.runs.gates.apply_limits(self._runtime.find_limit)

    def report_gate(self, connection: str) -> GateReport | None:
        return self.runs.gates.report(connection)

    def report_permits(self) -> PermitReport:
        return self.runs.permits.report()

    async def call_action(self, use: str, connection: str, given: Mapping[str, JSON]) -> JSON:
        return await call_outside(self._runtime, self.runs.gates, use, connection, given)

    async def wait_for_end(self, run: str, seconds: float) -> None:
        await self.runs.wait_for_end(run, seconds)

    async def wait_for_answer(self, run: str, seconds: float) -> None:
        await self.runs.wait_for_answer(run, seconds)

    def is_busy(self) -> bool:
        return self.runs.is_crowded or self._journal.waiting > BUSY_COMMITS

    def count_unreadable(self) -> int:
        return len(self.runs.retries.unreadable.reasons)

    # -- shutting down ------------------------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        return self.runs.is_draining

    def begin_draining(self) -> None:
        self.runs.begin_draining()

    async def drain(self, timeout: float) -> None:
        await drain_runs(self.runs, self._journal, self._now, timeout, self._list_tasks)

    def _list_tasks(self) -> "set[asyncio.Task[None]]":
        return self._performer.tasks | self.messenger.tasks | self.takeover.tasks | self.runs.retries.tasks
