"""The loop: the service starts, works and is killed, again and again, while a provider keeps sending."""

import asyncio
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tests.kill.constructs import PIPELINES, TURNS
from tests.kill.dead_journal import DeadJournal
from tests.kill.home import SEQUENCES, Home
from tests.kill.ledger import Line
from tests.kill.people import People, PeopleRecord
from tests.kill.processes import Died, LedgerProcess, Service
from tests.kill.provider import Accepted, Provider
from tests.kill.service import PLAIN, POINTS, SPECIAL, Point
from tests.whole_run import read_whole_run

Kind: TypeAlias = Point | Literal["random", "effect", "drain"]
"""`random` at any moment, `effect` after an effect and before its checkpoint, `drain` after SIGTERM and before the end
that it asks for; the others are `service`'s points."""


class Scenario(NamedTuple):
    """The load during the kills: pipelines, kinds of kill, senders, and the pause between two requests (seconds)."""

    name: str
    pipelines: Mapping[str, str]
    kinds: tuple[Kind, ...]
    turns: tuple[str, ...] = ()
    senders: int = 12
    pause: float = 0.05
    may_remain: tuple[str, ...] = ()
    has_people: bool = True
    longest_life: float = 20.0
    """Seconds after which a life whose point was not passed is killed all the same, and counted as `random`."""


STEPS = Scenario("steps", SEQUENCES, ("random", *PLAIN, "effect", "drain"), may_remain=("paused",), has_people=False)
CONSTRUCTS = Scenario(
    "constructs",
    PIPELINES,
    ("random", *PLAIN, "effect", "drain", *SPECIAL),
    TURNS,
    senders=8,
    pause=0.4,
    longest_life=12.0,
)

FARTHEST: Mapping[Kind, int] = {
    "accept": 60,
    "append": 150,
    "statement": 60,
    "commit": 100,
    "recovery": 1,
    "effect": 150,
    "drain": 150,
    **dict.fromkeys(SPECIAL, 6),
    "burst": 2,
    "slot": 3,
    "resolve": 3,
    "paused": 3,
}
"""Up to which passing of its point a life may go."""

REST, SHORT_REST = 60.0, 12.0
"""Seconds for everything to end; the shorter for what is expected not to."""
REFUSE_EVERY = 16
DELAY = 40


@dataclass(frozen=True, slots=True)
class Death:
    """One kill: what was in flight, and the ledger's position once nothing more could arrive."""

    kind: Kind
    position: int
    in_flight: int


@dataclass(slots=True)
class Record:
    """The record of a kill loop, from which the claims are checked."""

    seed: int
    scenario: Scenario = STEPS
    deaths: list[Death] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    checkpoints: dict[tuple[str, str], int] = field(default_factory=dict)  # the ledger's position when first seen
    answers: Mapping[str, Sequence[Accepted]] = field(default_factory=dict)
    lines: Sequence[Line] = ()
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)  # the number of times each was written
    people: PeopleRecord = field(default_factory=PeopleRecord)
    problems: list[str] = field(default_factory=list)


def plan(kinds_of_kill: Sequence[Kind], kills: int, chance: random.Random) -> list[Kind]:
    """Every kind once and then random kinds, in random order, except that a recovery needs something to recover; only
    some of the kinds if there are fewer kills."""
    if kills < len(kinds_of_kill):
        return chance.sample(kinds_of_kill, kills)
    weights = [3 if kind == "random" else 1 for kind in kinds_of_kill]
    kinds = [*kinds_of_kill, *chance.choices(kinds_of_kill, weights, k=kills - len(kinds_of_kill))]
    chance.shuffle(kinds)
    kinds.remove("recovery")
    kinds.insert(kinds.index("effect") + 1, "recovery")
    return kinds


async def kill_loop(folder: Path, *, kills: int, seed: int, scenario: Scenario = STEPS, sabotage: str = "") -> Record:
    """Kill the service `kills` times, then let everything finish and collect the results."""
    chance = random.Random(seed)
    home = Home(folder)
    record = Record(seed, scenario)
    async with (
        LedgerProcess(home.ledger, refuse_every=REFUSE_EVERY, delay=DELAY) as ledger,
        Provider(f"evt{seed}", home.sender_secret, random.Random(-seed), scenario.turns) as provider,
        People(home, random.Random(seed + 1)) as people,
        asyncio.TaskGroup() as group,
    ):
        home.write_pipelines(ledger.url, scenario.pipelines)
        sending = group.create_task(provider.work(senders=scenario.senders, pause=scenario.pause))
        if scenario.has_people:
            group.create_task(people.work())
        loop = Loop(home, ledger, provider, people, record, chance, sabotage)
        for kind in plan(scenario.kinds, kills, chance):
            await loop.live_and_die(kind)
        await loop.finish(sending)
    return record


class Loop:
    """Runs one life of the service after the other in the same home."""

    def __init__(
        self,
        home: Home,
        ledger: LedgerProcess,
        provider: Provider,
        people: People,
        record: Record,
        chance: random.Random,
        sabotage: str = "",
    ) -> None:
        self._home = home
        self._ledger = ledger
        self._provider = provider
        self._people = people
        self._sabotage = sabotage
        self._record = record
        self._chance = chance
        self._journal = DeadJournal(home.data, home.folder / "dead")

    async def live_and_die(self, kind: Kind) -> None:
        passings = self._chance.randint(1, FARTHEST.get(kind, 1))
        async with self._service(f"{kind}:{passings}" if kind in POINTS else "") as service:
            died_of = await self._live(service, kind, passings)
            self._provider.url = self._people.url = ""
            code = await service.wait_for_end()
        if code != -signal.SIGKILL:
            self._record.problems.append(f"a life that was to be killed ended by itself with exit code {code}")
        await self._ledger.release()
        await self._examine(died_of)

    async def _live(self, service: Service, kind: Kind, passings: int) -> Kind:
        """Let the service work until its kill; returns the actual kind of death."""
        if kind == "random" and self._chance.random() < 0.25:
            await asyncio.sleep(self._chance.uniform(0, 1.5))  # possibly in the middle of its start
            service.kill()
            return kind
        try:
            await self._begin(service)
            async with asyncio.timeout(self._record.scenario.longest_life):
                await self._doom(service, kind, passings)
        except Died:
            return kind
        except TimeoutError:
            kind = "random"
        service.kill()
        return kind

    async def _begin(self, service: Service) -> None:
        self._record.starts.append(await service.wait_until_ready())
        self._provider.url = self._people.url = service.url

    def _service(self, kill_at: str = "") -> Service:
        return Service(self._home, kill_at, self._sabotage)

    async def _doom(self, service: Service, kind: Kind, passings: int) -> None:
        """Return when the service should be killed or has been killed."""
        match kind:
            case "random":
                await asyncio.sleep(self._chance.uniform(0, 1.5))
            case "effect" | "drain":
                await self._ledger.hold(after=passings)
                await self._ledger.wait_until_held()
                if kind == "drain":
                    service.terminate()
                    await asyncio.sleep(self._chance.uniform(0, 0.3))
            case _:
                await service.wait_for_end()

    async def _examine(self, kind: Kind) -> None:
        """The system is quiet: a step completed here may have no effect after this position."""
        position = await self._ledger.wait_until_settled()
        await asyncio.to_thread(self._journal.read)
        for step in self._journal.find_checkpoints():
            self._record.checkpoints.setdefault(step, position)
        self._record.deaths.append(Death(kind, position, self._journal.in_flight()))

    async def finish(self, sending: "asyncio.Task[None]") -> None:
        """Let everything end in a life without a kill, and read the results."""
        record = self._record
        async with self._service() as service:
            await self._begin(service)
            self._provider.close()
            self._people.let_runs_rest()
            async with asyncio.timeout(REST):
                await sending
            try:
                await service.wait_until_idle(SHORT_REST if self._sabotage else REST, but=record.scenario.may_remain)
            except TimeoutError:
                record.problems.append(f"not every run came to rest within {REST:g} s")
            self._people.close()
            runs = await service.runs()
            record.runs = {run["id"]: await read_whole_run(service.ask, run["id"]) for run in runs}
            record.histories = {id: await service.history(id) for id in record.runs}
            service.terminate()
            if code := await service.wait_for_end():
                record.problems.append(f"the last life ended with exit code {code}")
        record.events = await asyncio.to_thread(self._journal.events)
        record.answers = self._provider.answers
        record.people = self._people.people
        record.problems += [*self._provider.problems, *record.people.problems]
        record.lines = self._ledger.lines()
