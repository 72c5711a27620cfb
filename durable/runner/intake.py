"""Admits events: commits each with the runs that it starts. The runs begin in memory immediately after the commit."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from durable import metrics
from durable.engine import Overloaded, Start
from durable.journal.journal import Journal
from durable.runner.advancer import Disk
from durable.runner.live_runs import LiveRuns
from durable.runner.start import BegunRun, RunAddresses, begin_run
from durable.units import Admission, Admitted, DedupeKey, Delivery, Descent, Event, ScheduleProgress

WRITE_PAUSE = 0.2
"""Seconds after which a failed write of a call, an event or the end of a wait is retried."""

log = logging.getLogger("waypost.run")


class Intake:
    """Admits events.

    `bring_in`: adds a new run to memory.
    `take_over_soon`: takes over runs of a pipeline that wait in the journal.
    `wake`: notifies a run that it has a message.

    Events are refused while the disk is full.
    """

    def __init__(
        self,
        journal: Journal,
        runs: LiveRuns,
        addresses: RunAddresses,
        disk: Disk,
        *,
        bring_in: Callable[[BegunRun], None],
        take_over_soon: Callable[[str], None],
        wake: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._runs = runs
        self.addresses = addresses
        self._disk = disk
        self._bring_in = bring_in
        self._take_over_soon = take_over_soon
        self._wake = wake

    @property
    def is_draining(self) -> bool:
        """Whether new work is refused."""
        return self._runs.is_draining

    async def commit(
        self,
        event: Event,
        starts: Sequence[Start],
        dedupe_keys: Sequence[DedupeKey],
        *,
        delivery: Delivery | None = None,
        schedule: ScheduleProgress | None = None,
        keeps_keys: bool = False,
        descent: Descent | None = None,
        is_recorded: bool = False,
        free_keys: Sequence[DedupeKey] = (),
        fork: BegunRun | None = None,
        renews: tuple[str, ...] | None = None,
    ) -> Admitted:
        """Admit an event and return after its commit; raises `Overloaded` or a `JournalError`. `fork` is a run that has
        begun already; `starts` has its arguments.

        The runs start when the commit completes, even if the caller no longer waits. A run for which there is no room
        in memory remains in the journal, and is taken over later.
        """
        self._ensure_open()
        begun = [self._choose_place(fork or begin_run(event, start, self.addresses)) for start in starts]
        admission = Admission(
            event,
            [run.build_row(event) for run in begun],
            dedupe_keys,
            delivery,
            at=starts[0].at if starts else None,
            schedule=schedule,
            keeps_keys=keeps_keys,
            descent=descent,
            is_recorded=is_recorded,
            free_keys=free_keys,
            renews=renews,
        )
        committed = self._journal.admit(admission) if fork is None else await self._journal.admit_large(admission)
        for run in begun:
            if not run.is_unowned:
                self._runs.room.add(run.definition.id)
        # One turn of the event loop later, so that all requests of a commit are answered before the first steps start.
        begin_runs = partial(self._begin_runs, begun)
        committed.add_done_callback(partial(asyncio.get_running_loop().call_soon, begin_runs))
        return await asyncio.shield(committed)

    def _ensure_open(self) -> None:
        if self._runs.is_draining:
            raise Overloaded("the service is shutting down", retry_after=5)
        if self._disk.is_full:
            raise Overloaded("the disk is full", retry_after=30)

    def _choose_place(self, begun: BegunRun) -> BegunRun:
        """Decide whether a new run comes into memory or remains in the journal. A run that can expire always comes into
        memory, because nothing would notice its expiry in the journal."""
        started, backlog = begun.state.started, self._runs.backlog
        pipeline, priority = begun.definition.id, started.priority if started else 0
        if started is not None and started.expires_at is not None:
            is_unowned = not self._runs.room.count_free(pipeline)
        else:
            is_unowned = backlog.must_wait(pipeline, priority)
        if not is_unowned or begun.state.finished:
            return begun
        backlog.add(pipeline, priority)
        return replace(begun, is_unowned=True)

    def _begin_runs(self, begun: Sequence[BegunRun], committed: "asyncio.Future[Admitted]") -> None:
        for each in begun:
            if not each.is_unowned:
                self._runs.room.remove(each.definition.id)
        if committed.cancelled() or committed.exception() or committed.result().is_duplicate:
            return
        admitted = committed.result()
        for called in admitted.notified:
            self._wake(called)
        for each in begun:
            if each.state.run in admitted.skipped:
                continue
            run = each.queued if each.queued and each.state.run in admitted.queued else each
            pipeline = run.definition.id
            metrics.count_run_started(pipeline)
            log.debug("run started", extra={"run": run.state.run, "pipeline": pipeline})
            if not each.is_unowned:
                self._bring_in(run)
            elif self._runs.backlog.is_wanted(pipeline):
                self._runs.backlog.add(pipeline, 0)  # it may have been forgotten meanwhile
                self._take_over_soon(pipeline)
