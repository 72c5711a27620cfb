"""The schedules of the service: what is due becomes an event and its run, in one commit with the schedule's progress.

The time of a fire is its dedupe key, so it starts one run at most, whatever happens to the clock or the process.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from durable import metrics
from durable.clock import new_id
from durable.durations import parse_duration
from durable.engine import Engine, Overloaded
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.units import DedupeKey, Event, FireOutcome, ScheduleProgress
from triggers.schedules.due import (
    Moment,
    RecordFires,
    StartFire,
    WaitUntil,
    begin_schedule,
    decide_next_step,
    find_next_due,
    restart_schedule,
)
from triggers.schedules.timing import format_moment
from triggers.schedules.trigger import TYPE, ScheduleTrigger
from triggers.trigger import EventFiltered, Trigger

log = logging.getLogger("waypost.schedule")

DEDUPE_MILLISECONDS = parse_duration("400d")
"""How long the dedupe key of a fire is kept. Only a clock that is set back farther could repeat the fire."""

PACE = 50
"""Milliseconds between two runs that are caught up or were queued, over all schedules."""

BLIND = 60_000
"""Milliseconds without a look at the clock after which fires count as not watched: the process was stopped, the machine
slept, or the clock jumped."""

PAUSES = (1_000, 2_000, 5_000, 15_000)
"""Milliseconds before a schedule that failed is tried again: the service was full, or the journal refused writes."""


@dataclass(eq=False, slots=True)
class ServedSchedule:
    """A schedule that is served and watched `since` then. `wake_at` is when to attend to it (ms), None while that
    happens or if there are no more fires; `is_called` if it should be attended to again afterwards; `failures` counts
    consecutive failures."""

    trigger: ScheduleTrigger
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
    """Starts what is due. Call `wake` at `earliest`, and every half minute since clocks jump; `when_changed` is called
    when `earliest` may have changed."""

    def __init__(self, engine: Engine, journal: Journal, now: Callable[[], int]) -> None:
        self._engine = engine
        self._journal = journal
        self._now = now
        self._served: dict[str, ServedSchedule] = {}
        self._looked = now()
        self._turn = 0
        self._waits_for: dict[str, ServedSchedule] = {}
        self.when_changed: Callable[[], None] = _do_nothing
        engine.when_ended = self._on_run_ended

    # -- what is served -----------------------------------------------------------------------------------------

    async def serve(self, triggers: Sequence[Trigger], broken: Collection[str] = ()) -> None:
        """Serve the schedules among these triggers from now on. Forget others, unless their pipeline is `broken` at the
        moment."""
        schedules = [each for each in triggers if isinstance(each, ScheduleTrigger)]
        rows = {row.id: row for row in await self._journal.list_schedules()}
        for each in schedules:
            self._serve(each, rows.get(each.name))
        for name in {*rows, *self._served} - {each.name for each in schedules}:
            await self._withdraw(name, is_forgotten=name.partition("/")[0] not in broken)
        self.when_changed()

    def _serve(self, trigger: ScheduleTrigger, row: ScheduleProgress | None) -> None:
        at = self._now()
        if schedule := self._served.get(trigger.name):
            schedule.trigger = trigger
        else:
            first = row or begin_schedule(trigger, at)
            schedule = self._served[trigger.name] = ServedSchedule(
                trigger, first, since=at, wake_at=None, is_stored=row is not None
            )
            if row is None and find_next_due(trigger, first) is None:
                log.warning("schedule %s: its time has passed; it will start nothing", trigger.name)
        self._request_attention(schedule)

    async def _withdraw(self, name: str, *, is_forgotten: bool) -> None:
        if schedule := self._served.pop(name, None):
            schedule.is_gone = True
            if schedule.task:
                await asyncio.wait({schedule.task})
        if is_forgotten:
            try:
                await asyncio.shield(self._journal.forget_schedule(name))
            except JournalError as error:
                log.warning("the progress of the removed schedule %s could not be deleted: %s", name, error)

    def find_progress(self) -> dict[str, ScheduleProgress]:
        """The progress of each schedule, by its name."""
        return {name: schedule.row for name, schedule in self._served.items()}

    # -- when ---------------------------------------------------------------------------------------------------

    @property
    def earliest(self) -> int | None:
        """When the next schedule must be attended to (ms)."""
        return min(
            (schedule.wake_at for schedule in self._served.values() if schedule.wake_at is not None), default=None
        )

    def wake(self) -> None:
        """Start attending to the schedules that are due."""
        at = self._now()
        has_jumped = abs(at - self._looked) > BLIND
        self._looked = at
        for schedule in self._served.values():
            schedule.since = at if has_jumped else min(schedule.since, at)
            if has_jumped:
                self._request_attention(schedule)
            if schedule.wake_at is not None and schedule.wake_at <= at and not schedule.is_attended:
                schedule.wake_at = None
                schedule.task = asyncio.create_task(self._attend(schedule))

    async def settle(self) -> None:
        """Wait until everything that `wake` started is done."""
        if tasks := {schedule.task for schedule in self._served.values() if schedule.task}:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Attend to nothing more; a commit in progress is finished."""
        for schedule in self._served.values():
            schedule.is_gone, schedule.wake_at = True, None
        await self.settle()

    def _request_attention(self, schedule: ServedSchedule) -> None:
        """Attend to it at once, or again afterwards."""
        if schedule.is_attended:
            schedule.is_called = True
        else:
            schedule.wake_at = self._now()

    def _on_run_ended(self, run: str) -> None:
        if schedule := self._waits_for.pop(run, None):
            self._request_attention(schedule)
            self.when_changed()

    # -- what is due --------------------------------------------------------------------------------------------

    async def _attend(self, schedule: ServedSchedule) -> None:
        name = schedule.trigger.name
        try:
            schedule.wake_at = await self._advance(schedule)
            schedule.failures = 0
        except (Overloaded, JournalError) as error:
            schedule.wake_at = self._find_retry_time(schedule)
            log.warning("schedule %s: %s; it will be retried", name, error)
        except Exception:
            schedule.wake_at = self._find_retry_time(schedule)
            log.exception("schedule %s failed; it will be retried", name)
        self.when_changed()

    def _find_retry_time(self, schedule: ServedSchedule) -> int:
        pause = PAUSES[min(schedule.failures, len(PAUSES) - 1)]
        schedule.failures += 1
        return self._now() + pause

    async def _advance(self, schedule: ServedSchedule) -> int | None:
        """Take step after step until nothing is due; returns when to look again."""
        while not schedule.is_gone:
            schedule.is_called = False
            if schedule.row.times != schedule.trigger.spec.times:
                schedule.row, schedule.is_stored = restart_schedule(schedule.row, schedule.trigger, self._now()), False
            if not schedule.is_stored:
                await self._store(schedule, schedule.row)
            is_busy = await self._is_busy(schedule)
            step = decide_next_step(
                schedule.trigger, schedule.row, Moment(self._now(), schedule.since, self._turn, is_busy)
            )
            match step:
                case WaitUntil():
                    if not schedule.is_called:
                        return step.until
                case RecordFires():
                    await self._store(schedule, step.row)
                    _log_fires(step)
                case StartFire():
                    await self._start_fire(schedule, step)
        return None

    async def _is_busy(self, schedule: ServedSchedule) -> bool:
        """Whether the run before is unfinished, if that matters. Its end wakes the schedule."""
        run = schedule.row.run
        if run is None or schedule.trigger.spec.overlap == "allow":
            return False
        self._waits_for[run] = schedule  # before the look, so that an end in between is not missed
        found = await self._journal.find_run(run)
        if found is not None and found.finished_at is None:
            return True
        self._waits_for.pop(run, None)
        return False

    async def _store(self, schedule: ServedSchedule, row: ScheduleProgress) -> None:
        await asyncio.shield(self._journal.keep_schedule(row))
        schedule.row, schedule.is_stored = row, True

    async def _start_fire(self, schedule: ServedSchedule, step: StartFire) -> None:
        trigger, at, key = schedule.trigger, self._now(), format_moment(step.fire)
        document = trigger.build_document(step.fire)
        try:
            trigger.check_when(document)
        except EventFiltered as filtered:
            await self._store(schedule, replace(step.row, outcome="filtered", reason=str(filtered)))
            metrics.count_fires(trigger.name, "filtered")
            return
        # The event arrives now: a run that is caught up has all of its time before it.
        event = Event(new_id("evt", at), source=trigger.name, key=key, type=TYPE, time=at)
        claim = DedupeKey(trigger.name, key, at + DEDUPE_MILLISECONDS)
        admitted = await self._engine.admit(
            event, [trigger.make_start(document)], dedupe_keys=[claim], schedule=step.row
        )
        outcome: FireOutcome = "duplicate" if admitted.is_duplicate else "started"
        schedule.row, schedule.is_stored = (
            replace(step.row, run=admitted.runs[-1], outcome=outcome),
            True,
        )
        metrics.count_start_of_fire(trigger.name, outcome, (at - step.fire) / 1000)
        if step.was_waiting:
            self._turn = at + PACE


def _log_fires(step: RecordFires) -> None:
    row = step.row
    if step.outcome is None or row.fire is None:
        return
    metrics.count_fires(row.id, step.outcome, step.count)
    what = "1 fire was" if step.count == 1 else f"{step.count} fires were"
    log.warning(
        "schedule %s: %s %s, the last that of %s: %s", row.id, what, step.outcome, format_moment(row.fire), row.reason
    )


def _do_nothing() -> None:
    """Called while no alarm is started."""
