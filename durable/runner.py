"""What takes runs in: those of new events, and those that somebody else left or that are due.

A run begins in the loop where its event was accepted, right after that commit.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from durable import metrics
from durable.attempt import Workbench, loaded
from durable.decide import outstanding
from durable.definition import Definition
from durable.history import CancelRequested, DeadlinePassed, RecoveryStopped, detach, fold
from durable.journal import Admission, Admitted, Claim, Delivery, Event, Journal, ScheduleRow
from durable.owner import Live, Owner
from durable.start import Begun, Start, begin
from durable.values import Value

log = logging.getLogger("waypost.run")


class Overloaded(Exception):
    """The service takes no more runs for now; `retry_after` is in seconds."""

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one node: attempts at once, runs in memory, recoveries without progress; `evict_after` is how long
    (ms) a run waits before it leaves memory."""

    attempts_in_flight: int = 256
    live_runs: int = 10_000
    recoveries: int = 5
    evict_after: int = 30_000


class Runner(Owner):
    """Takes runs in and advances them. `url` says where people see a run."""

    def __init__(self, journal: Journal, bench: Workbench, limits: Limits, *, url: Callable[[str], str | None]) -> None:
        super().__init__(journal, bench, attempts=limits.attempts_in_flight, patience=limits.evict_after)
        self._limits = limits
        self._url = url
        self._definitions: dict[str, Definition] = {}
        self._adopting: dict[str, asyncio.Future[Live | None]] = {}
        self._admitting = 0

    # -- taking in ----------------------------------------------------------------------------------------------

    async def offer(self, definition: Definition) -> None:
        """Make a definition known to the journal, so that runs of it can begin."""
        await self._journal.define(definition.version, definition.spec.id, definition.data, self._bench.now())
        self._definitions[definition.version] = definition

    def knows(self, definition: Definition) -> bool:
        """Whether it was offered already."""
        return definition.version in self._definitions

    async def admit(
        self,
        event: Event,
        starts: Sequence[Start],
        *,
        claims: Sequence[Claim] = (),
        delivery: Delivery | None = None,
        schedule: ScheduleRow | None = None,
    ) -> Admitted:
        """Start the runs of an event in one commit and return after it; raises `Overloaded` or a `JournalError`.

        The commit's completion starts the runs, whether or not anybody still waits for this call.
        """
        self._ensure_room()
        begun = [begin(event, start, self._url) for start in starts]
        admission = Admission(event, [run.row(event) for run in begun], claims, delivery, schedule=schedule)
        committed = self._journal.admit(admission)
        self._admitting += len(begun)
        committed.add_done_callback(partial(self._admitted, begun))
        return await asyncio.shield(committed)

    def _ensure_room(self) -> None:
        if self.is_draining:
            raise Overloaded("the service is shutting down", retry_after=5)
        if not self._writable.is_set():
            raise Overloaded("the disk is full", retry_after=30)
        if not self.room:
            raise Overloaded(f"{self._limits.live_runs} runs are under way")

    def _admitted(self, begun: Sequence[Begun], committed: "asyncio.Future[Admitted]") -> None:
        self._admitting -= len(begun)
        if committed.cancelled() or committed.exception() or committed.result().is_duplicate:
            return
        for run in begun:
            pipeline = run.definition.spec.id
            metrics.run_started(pipeline)
            log.debug("run started", extra={"run": run.state.run, "pipeline": pipeline})
            live = Live(run.state.run, run.definition, run.state, epoch=1)
            detach(run.entries)
            self._keep(live)
            self._perform(live, run.effects)
            self._let_go_if_idle(live)

    async def cancel(self, run: str, reason: str | None = None) -> bool:
        """Ask for a run's end through its inbox; False if there is no such unfinished run."""
        posted = await self._journal.post(run, "cancel", Value.of(reason), self._bench.now())
        if posted:
            await self.deliver(run)
        return posted

    async def deliver(self, run: str) -> None:
        """Move a run's inbox into its history."""
        if live := self.live.get(run):
            await self._take_messages(live)
        else:
            await self.adopt(run)

    async def _take_messages(self, live: Live) -> None:
        for message in await self._journal.messages(live.run):
            reason = await loaded(message.data.load, self._bench.payload)
            fact = CancelRequested(at=self._bench.now(), reason=reason if isinstance(reason, str) else None)
            await self.report(live, fact, taken=[message.id])

    @property
    def room(self) -> int:
        """How many more runs may come into memory."""
        return max(0, self._limits.live_runs - len(self.live) - self._admitting)

    # -- owning -------------------------------------------------------------------------------------------------

    async def adopt(self, run: str, *, count_recovery: bool = False) -> Live | None:
        """Take over an unfinished run and perform what a restart owes it; None if it has ended or cannot be taken now.

        A run that cannot be taken is set adrift: the sweep tries again.
        """
        while run in self._adopting:
            await asyncio.wait({self._adopting[run]})
        if run in self.live:
            return self.live[run]
        self._adopting[run] = taking = asyncio.ensure_future(self._take_over(run, count_recovery=count_recovery))
        try:
            return await taking
        except Exception:
            log.exception("a run cannot be taken over now; the sweep tries again", extra={"run": run})
            if live := self.live.get(run):
                self._drop(live)
            self.set_adrift(run, counts=count_recovery)
            return None
        finally:
            self._adopting.pop(run, None)

    async def _take_over(self, run: str, *, count_recovery: bool) -> Live | None:
        claimed = await self._journal.claim(run, self._bench.now(), count_recovery=count_recovery)
        if claimed is None:
            self.adrift.pop(run, None)
            return None
        definition = await self._definition(claimed.version)
        live = Live(run, definition, fold(run, claimed.entries), claimed.epoch, is_settling=True)
        self._keep(live)
        await self._take_messages(live)
        await self.check_deadline(live)
        if claimed.recoveries > self._limits.recoveries:
            await self.report(live, RecoveryStopped(at=self._bench.now(), count=claimed.recoveries))
        facts, effects = outstanding(definition, live.state, self._bench.now())
        for fact in facts:
            await self.report(live, fact)
        self.adrift.pop(run, None)
        self._perform(live, effects, is_recorded=True)
        live.is_settling = False
        self._let_go_if_idle(live)
        return live

    async def check_deadline(self, live: Live) -> None:
        """End what has run out of time."""
        at, deadline = self._bench.now(), live.state.deadline
        if deadline is not None and at >= deadline and not live.state.finished:
            await self.report(live, DeadlinePassed(at=at))

    async def _definition(self, version: str) -> Definition:
        if version not in self._definitions:
            data = await self._journal.definition(version)
            if data is None:
                raise LookupError(f"the journal holds no definition of version {version}")
            self._definitions[version] = Definition.load(data)
        return self._definitions[version]

    # -- shutting down ------------------------------------------------------------------------------------------

    def begin_draining(self) -> None:
        """Take in and start nothing more, and let nobody wait any longer for the end of a run."""
        self.is_draining = True
        for run in list(self._watches):
            self._tell_watchers(run)

    async def drain(self, timeout: float) -> None:
        """Start nothing more, let the attempts under way end within `timeout` seconds, and let go of every run.

        What is cut off then has an unknown ending, as if the process had died, but nobody is suspected for it.
        """
        self.begin_draining()
        under_way = {live.tasks[path] for live in self.live.values() for path in live.attempts}
        if under_way:
            log.info("draining: %d attempts are under way", len(under_way))
            await asyncio.wait(under_way, timeout=timeout)
        for live in list(self.live.values()):
            self._drop(live)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1)
        await self._journal.release()
