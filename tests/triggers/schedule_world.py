"""A service's schedules with a clock that only the test moves. Journal, runner and folder are real."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from connectors.transform import CONNECTOR as TRANSFORM
from durable.action import Action, Connector, Context, Inputs, action
from durable.journal.journal import Journal
from durable.runner.attempt import ActionRuntime
from durable.runner.live_runs import RunnerLimits
from durable.runner.runner import Runner
from durable.runner.start import RunAddresses
from durable.secrets import Secrets
from durable.units import Run
from durable.values import JSON
from triggers.config.catalogue import Connectors
from triggers.config.folder import Folder
from triggers.schedules.schedules import Schedules
from triggers.schedules.timetable import describe_schedules
from triggers.schedules.trigger import ScheduleTrigger

LOOK = 30_000

QUICK = """
triggers:
  - {{id: t, use: schedule, with: {0}}}
steps:
  - {{id: a, use: transform.set, with: {{values: {{at: "{{{{ trigger.id }}}}"}}}}}}
outputs: {{at: "{{{{ steps.a.output.at }}}}", time: "{{{{ trigger.time }}}}", type: "{{{{ trigger.type }}}}"}}
"""
HELD = """
triggers:
  - {{id: t, use: schedule, with: {0}}}
steps:
  - {{id: a, use: test.hold, timeout: 1d}}
"""


def ms(text: str) -> int:
    """An ISO 8601 time as milliseconds; UTC unless it has an offset."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


@dataclass
class Clock:
    """The clock of everything in the test."""

    at: int

    def now(self) -> int:
        return self.at


@dataclass
class Gate:
    """The action `test.hold` waits at this gate: each of its runs is held until it is released."""

    waiting: list[asyncio.Event] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def action(self) -> Action:
        @action("hold", input=Inputs)
        async def hold(context: Context, given: Inputs) -> JSON:
            """Wait."""
            mine = asyncio.Event()
            self.waiting.append(mine)
            self.arrived.set()
            await mine.wait()
            return None

        return hold


@dataclass
class World:
    """Running schedules, and the runs that they started."""

    clock: Clock
    journal: Journal
    runner: Runner
    folder: Folder
    schedules: Schedules
    gate: Gate

    async def look(self, at: int | str | None = None) -> None:
        """Set the clock, and let the schedules act on it."""
        if at is not None:
            self.clock.at = ms(at) if isinstance(at, str) else at
        self.schedules.wake()
        await self.schedules.settle()

    async def until(self, end: int | str) -> None:
        """Advance the clock as in a service, which looks when a fire is due and twice a minute."""
        end = ms(end) if isinstance(end, str) else end
        while self.clock.at < end:
            earliest = self.schedules.earliest
            await self.look(
                max(self.clock.at + 1, min(end, self.clock.at + LOOK, end if earliest is None else earliest))
            )

    async def reload(self, **files: str | None) -> None:
        """Change files of the folder, and put them into service."""
        for name, text in files.items():
            path = self.folder.path / f"{name}.yaml"
            path.unlink() if text is None else path.write_text(text)
        self.folder.serve(self.folder.read())
        for definition in self.folder.definitions:
            await self.runner.offer(definition)
        await self.schedules.serve(self.folder.triggers, self.folder.broken)
        await self.look()

    async def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return (await self.journal.list_runs(limit=5_000))[::-1]

    async def list_fire_times(self) -> list[str]:
        """The fire time of each run, in the order of the runs."""
        events = [await self.journal.find_event(run.event) for run in await self.runs()]
        return [event.key for event in events if event]

    async def wait_for_held_runs(self, count: int) -> None:
        """Wait until `count` runs are held."""
        while len(self.gate.waiting) < count:
            self.gate.arrived.clear()
            await self.gate.arrived.wait()

    async def release(self) -> None:
        """Release the first held run, and wait until it has ended and its schedule has noticed."""
        (run, *_) = (run.id for run in await self.runs() if run.finished_at is None)
        live = self.runner.runs.by_id[run]
        self.gate.waiting.pop(0).set()
        while not live.is_gone:
            live.has_progressed = False
            await live.wait_for_progress()
        await self.look()

    async def wait_until_idle(self) -> None:
        """Wait until no run is in progress."""
        while tasks := {
            task
            for run in self.runner.runs.by_id.values()
            for task in (run.busy, *(work.task for work in run.works.values()))
            if task
        }:
            await asyncio.wait(tasks)

    def describe_schedule(self) -> dict[str, object]:
        """The only schedule, as the API describes it."""
        (found,) = describe_schedules(
            self.folder.find_triggers(ScheduleTrigger), self.schedules.find_progress(), self.clock.at
        )
        return dict(msgspec.to_builtins(found))


@asynccontextmanager
async def world(tmp_path: Path, at: int | str, text: str | None = None) -> AsyncIterator[World]:
    """The schedules of the folder in `tmp_path`, started at a given time; `text` is the pipeline `p`. Opening it again
    is a restart of the service."""
    pipelines = tmp_path / "config" / "pipelines"
    pipelines.mkdir(parents=True, exist_ok=True)
    if text is not None:
        (pipelines / "p.yaml").write_text(text)
    clock, gate, secrets = Clock(ms(at) if isinstance(at, str) else at), Gate(), Secrets({})
    connectors = Connectors({"transform": TRANSFORM, "test": Connector("test", "", (gate.action(),))})
    journal = await Journal.open(tmp_path / "data", node=f"node-{clock.at}", on_fatal=_fail)
    folder = Folder(tmp_path / "config", connectors, secrets)
    runner = Runner(
        journal,
        ActionRuntime(connectors.actions, secrets, {}, journal.load_payload, clock.now),
        RunnerLimits(),
        addresses=RunAddresses(lambda run: None, ""),
        pipelines=folder,
    )
    for definition in folder.definitions:
        await runner.offer(definition)
    schedules = Schedules(runner, journal, clock.now)
    await schedules.serve(folder.triggers, folder.broken)
    made = World(clock, journal, runner, folder, schedules, gate)
    try:
        await made.look()
        yield made
    finally:
        await schedules.close()
        await runner.drain(0)
        await journal.close()


def _fail(error: BaseException) -> None:
    raise error
