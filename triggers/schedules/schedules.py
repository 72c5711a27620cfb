"""The schedule trigger: what is due becomes an event and its run, in one commit with how far the schedule is.

A fire is claimed by its time, so it starts one run at most, whatever happens to the clock or the process.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from durable import metrics
from durable.clock import new_id
from durable.journal import DedupeKey, Event, FireOutcome, Journal, JournalError, ScheduleProgress
from durable.runner import Overloaded, Runner
from durable.values import JSON
from triggers.filtering import EventFiltered, check_when, make_start
from triggers.schedules.due import Begin, Keep, Moment, Wait, begin, next_due, next_step, restart
from triggers.schedules.schedule import Planned
from triggers.schedules.timing import iso

log = logging.getLogger("waypost.schedule")

TYPE = "schedule"
"""Of its events."""

CLAIMED_FOR = 400 * 86_400_000
"""Milliseconds for which a fire stays claimed: only a clock that was put back farther than that can bring it again."""

PACE = 50
"""Milliseconds between two runs that are caught up or were queued, whatever their schedules."""

BLIND = 60_000
"""Milliseconds between two looks at the clock after which nobody has watched: the process stood still, the machine
slept, or the clock has jumped."""

PAUSES = (1_000, 2_000, 5_000, 15_000)
"""Milliseconds after which a schedule is tried again that failed: the service was full, or the journal took nothing."""


@dataclass(eq=False, slots=True)
class Kept:
    """A schedule that is served, watched without a break `since` then. `wake_at` is when it wants attention (ms), None
    while it has it or wants none; `is_called` if it is wanted again meanwhile; `failures` counts tries in vain."""

    planned: Planned
    row: ScheduleProgress
    since: int
    wake_at: int | None
    is_stored: bool
    is_called: bool = False
    is_gone: bool = False
    failures: int = 0
    task: "asyncio.Task[None] | None" = None

    @property
    def is_attended(self) -> bool:
        return self.task is not None and not self.task.done()


class Schedules:
    """Starts what is due. `wake` is to be called at `earliest`, and every half minute besides, since clocks jump;
    `when_changed` is told where `earliest` may be another."""

    def __init__(self, runner: Runner, journal: Journal, now: Callable[[], int]) -> None:
        self._runner = runner
        self._journal = journal
        self._now = now
        self._kept: dict[str, Kept] = {}
        self._looked = now()
        self._turn = 0
        self._waits_for: dict[str, Kept] = {}
        self.when_changed: Callable[[], None] = _nobody
        runner.when_ended = self._ended

    # -- what is served -----------------------------------------------------------------------------------------

    async def serve(self, planned: Sequence[Planned], broken: Collection[str] = ()) -> None:
        """Serve these from now on. What is not among them is forgotten, unless its pipeline is `broken` for now."""
        rows = {row.id: row for row in await self._journal.schedules()}
        for each in planned:
            self._serve(each, rows.get(each.name))
        for name in {*rows, *self._kept} - {each.name for each in planned}:
            await self._withdraw(name, is_forgotten=name.partition("/")[0] not in broken)
        self.when_changed()

    def _serve(self, planned: Planned, row: ScheduleProgress | None) -> None:
        at = self._now()
        if kept := self._kept.get(planned.name):
            kept.planned = planned
        else:
            first = row or begin(planned, at)
            kept = self._kept[planned.name] = Kept(planned, first, since=at, wake_at=None, is_stored=row is not None)
            if row is None and next_due(planned, first) is None:
                log.warning("schedule %s: its time has passed, and it starts nothing", planned.name)
        self._call(kept)

    async def _withdraw(self, name: str, *, is_forgotten: bool) -> None:
        if kept := self._kept.pop(name, None):
            kept.is_gone = True
            if kept.task:
                await asyncio.wait({kept.task})
        if is_forgotten:
            try:
                await asyncio.shield(self._journal.forget_schedule(name))
            except JournalError as error:
                log.warning("schedule %s is gone, and could not be forgotten: %s", name, error)

    def served(self) -> dict[str, ScheduleProgress]:
        """How far each schedule is, by its name."""
        return {name: kept.row for name, kept in self._kept.items()}

    # -- when ---------------------------------------------------------------------------------------------------

    @property
    def earliest(self) -> int | None:
        """When the next schedule wants attention (ms)."""
        return min((kept.wake_at for kept in self._kept.values() if kept.wake_at is not None), default=None)

    def wake(self) -> None:
        """Begin to attend to every schedule that is due."""
        at = self._now()
        has_jumped = abs(at - self._looked) > BLIND
        self._looked = at
        for kept in self._kept.values():
            kept.since = at if has_jumped else min(kept.since, at)
            if has_jumped:
                self._call(kept)
            if kept.wake_at is not None and kept.wake_at <= at and not kept.is_attended:
                kept.wake_at = None
                kept.task = asyncio.create_task(self._attend(kept))

    async def settle(self) -> None:
        """Wait until all that `wake` began is done."""
        if tasks := {kept.task for kept in self._kept.values() if kept.task}:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Attend to nothing more; what is being committed is carried out."""
        for kept in self._kept.values():
            kept.is_gone, kept.wake_at = True, None
        await self.settle()

    def _call(self, kept: Kept) -> None:
        """It wants attention at once, or once more."""
        if kept.is_attended:
            kept.is_called = True
        else:
            kept.wake_at = self._now()

    def _ended(self, run: str) -> None:
        if kept := self._waits_for.pop(run, None):
            self._call(kept)
            self.when_changed()

    # -- what is due --------------------------------------------------------------------------------------------

    async def _attend(self, kept: Kept) -> None:
        name = kept.planned.name
        try:
            kept.wake_at = await self._go_on(kept)
            kept.failures = 0
        except (Overloaded, JournalError) as error:
            kept.wake_at = self._again(kept)
            log.warning("schedule %s: %s; it is tried again", name, error)
        except Exception:
            kept.wake_at = self._again(kept)
            log.exception("schedule %s could not be attended to; it is tried again", name)
        self.when_changed()

    def _again(self, kept: Kept) -> int:
        pause = PAUSES[min(kept.failures, len(PAUSES) - 1)]
        kept.failures += 1
        return self._now() + pause

    async def _go_on(self, kept: Kept) -> int | None:
        """Do what is to be done, step by step; answers when to look again."""
        while not kept.is_gone:
            kept.is_called = False
            if kept.row.times != kept.planned.given.times:
                kept.row, kept.is_stored = restart(kept.row, kept.planned, self._now()), False
            if not kept.is_stored:
                await self._keep(kept, kept.row)
            is_busy = await self._is_busy(kept)
            step = next_step(kept.planned, kept.row, Moment(self._now(), kept.since, self._turn, is_busy))
            match step:
                case Wait():
                    if not kept.is_called:
                        return step.until
                case Keep():
                    await self._keep(kept, step.row)
                    _tell(step)
                case Begin():
                    await self._begin(kept, step)
        return None

    async def _is_busy(self, kept: Kept) -> bool:
        """Whether the run before is unfinished, where that matters; its end calls the schedule."""
        run = kept.row.run
        if run is None or kept.planned.given.overlap == "allow":
            return False
        self._waits_for[run] = kept  # before the look, so that an end in between is not missed
        found = await self._journal.run(run)
        if found is not None and found.finished_at is None:
            return True
        self._waits_for.pop(run, None)
        return False

    async def _keep(self, kept: Kept, row: ScheduleProgress) -> None:
        await asyncio.shield(self._journal.keep_schedule(row))
        kept.row, kept.is_stored = row, True

    async def _begin(self, kept: Kept, step: Begin) -> None:
        planned, at, key = kept.planned, self._now(), iso(step.fire)
        arrival: JSON = {"id": key, "type": TYPE, "time": step.fire, "source": planned.name, "subject": None}
        try:
            check_when(planned.when, arrival)
        except EventFiltered as filtered:
            await self._keep(kept, replace(step.row, outcome="filtered", reason=str(filtered)))
            metrics.count_fires(planned.name, "filtered")
            return
        # The event arrives now: a run that is caught up has all of its time before it.
        event = Event(new_id("evt", at), source=planned.name, key=key, type=TYPE, time=at)
        claim = DedupeKey(planned.name, key, at + CLAIMED_FOR)
        start = make_start(planned.definition, planned.trigger, planned.inputs, arrival)
        admitted = await self._runner.admit(event, [start], claims=[claim], schedule=step.row)
        outcome: FireOutcome = "duplicate" if admitted.is_duplicate else "started"
        kept.row, kept.is_stored = replace(step.row, run=admitted.runs[-1], outcome=outcome), True
        metrics.count_fires(planned.name, outcome)
        if step.was_waiting:
            self._turn = at + PACE


def _tell(step: Keep) -> None:
    row = step.row
    if step.outcome is None or row.fire is None:
        return
    metrics.count_fires(row.id, step.outcome, step.count)
    what = "1 fire was" if step.count == 1 else f"{step.count} fires were"
    log.warning("schedule %s: %s %s, the last that of %s: %s", row.id, what, step.outcome, iso(row.fire), row.reason)


def _nobody() -> None:
    """Nobody keeps the time."""
