"""The loop: the service lives, works and is killed, again and again, while a provider goes on sending."""

import asyncio
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tests.kill.dead import DeadJournal
from tests.kill.home import Home
from tests.kill.ledger import Line
from tests.kill.processes import Died, LedgerProcess, Service
from tests.kill.provider import Accepted, Provider
from tests.kill.service import POINTS

Kind: TypeAlias = Literal["random", "accept", "append", "statement", "commit", "recovery", "effect", "drain"]
"""`random` at any moment, `effect` after an effect and before its checkpoint, `drain` after SIGTERM and before the end
that it asks for; the others are `service`'s points."""

KINDS: tuple[Kind, ...] = get_args(Kind)

FARTHEST: Mapping[Kind, int] = {
    "accept": 60,
    "append": 150,
    "statement": 60,
    "commit": 100,
    "recovery": 1,
    "effect": 150,
    "drain": 150,
}
"""Up to which passing of its point a life may go."""

LONGEST_LIFE = 20.0
"""Seconds after which a life whose point was not passed is killed all the same, and counted as `random`."""

REST = 60.0
REFUSE_EVERY = 16
DELAY = 40


@dataclass(frozen=True, slots=True)
class Death:
    """One kill: what was in flight, and where the ledger stood when nothing could come any more."""

    kind: Kind
    position: int
    in_flight: int


@dataclass(slots=True)
class Record:
    """What a kill loop leaves: everything that the claims are made of."""

    seed: int
    deaths: list[Death] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    checkpoints: dict[tuple[str, str], int] = field(default_factory=dict)  # the ledger's position when first seen
    answers: Mapping[str, Sequence[Accepted]] = field(default_factory=dict)
    lines: Sequence[Line] = ()
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def plan(kills: int, chance: random.Random) -> list[Kind]:
    """Every kind once and then any, in any order, but a first recovery where there is something to recover."""
    weights = [3 if kind == "random" else 1 for kind in KINDS]
    kinds = [*KINDS, *chance.choices(KINDS, weights, k=kills - len(KINDS))]
    chance.shuffle(kinds)
    kinds.remove("recovery")
    kinds.insert(kinds.index("effect") + 1, "recovery")
    return kinds


async def kill_loop(folder: Path, *, kills: int, seed: int) -> Record:
    """Kill the service that often, then let everything finish and read what became of it."""
    chance = random.Random(seed)
    home = Home(folder)
    record = Record(seed)
    async with (
        LedgerProcess(home.ledger, refuse_every=REFUSE_EVERY, delay=DELAY) as ledger,
        Provider(f"evt{seed}", home.sender_secret, random.Random(-seed)) as provider,
        asyncio.TaskGroup() as group,
    ):
        home.write_pipelines(ledger.url)
        sending = group.create_task(provider.work())
        loop = Loop(home, ledger, provider, record, chance)
        for kind in plan(kills, chance):
            await loop.live_and_die(kind)
        await loop.finish(sending)
    return record


class Loop:
    """Lives one life after the other over the same home."""

    def __init__(
        self, home: Home, ledger: LedgerProcess, provider: Provider, record: Record, chance: random.Random
    ) -> None:
        self._home = home
        self._ledger = ledger
        self._provider = provider
        self._record = record
        self._chance = chance
        self._journal = DeadJournal(home.data, home.folder / "dead")

    async def live_and_die(self, kind: Kind) -> None:
        passings = self._chance.randint(1, FARTHEST.get(kind, 1))
        async with Service(self._home, f"{kind}:{passings}" if kind in POINTS else "") as service:
            died_of = await self._live(service, kind, passings)
            self._provider.url = ""
            code = await service.ended()
        if code != -signal.SIGKILL:
            self._record.problems.append(f"a life that was to be killed ended by itself with exit code {code}")
        await self._ledger.release()
        await self._examine(died_of)

    async def _live(self, service: Service, kind: Kind, passings: int) -> Kind:
        """Let it work until its kill; what it really died of."""
        if kind == "random" and self._chance.random() < 0.25:
            await asyncio.sleep(self._chance.uniform(0, 1.5))  # in the middle of its start, perhaps
            service.kill()
            return kind
        try:
            await self._begin(service)
            async with asyncio.timeout(LONGEST_LIFE):
                await self._doom(service, kind, passings)
        except Died:
            return kind
        except TimeoutError:
            kind = "random"
        service.kill()
        return kind

    async def _begin(self, service: Service) -> None:
        self._record.starts.append(await service.ready())
        self._provider.url = service.url

    async def _doom(self, service: Service, kind: Kind, passings: int) -> None:
        """Return when it is to be killed, or has been."""
        match kind:
            case "random":
                await asyncio.sleep(self._chance.uniform(0, 1.5))
            case "effect" | "drain":
                await self._ledger.hold(after=passings)
                await self._ledger.held()
                if kind == "drain":
                    service.terminate()
                    await asyncio.sleep(self._chance.uniform(0, 0.3))
            case _:
                await service.ended()

    async def _examine(self, kind: Kind) -> None:
        """Nothing moves now: what is completed here may have no effect beyond this position."""
        position = await self._ledger.settled()
        await asyncio.to_thread(self._journal.read)
        for step in self._journal.completed():
            self._record.checkpoints.setdefault(step, position)
        self._record.deaths.append(Death(kind, position, self._journal.in_flight()))

    async def finish(self, sending: "asyncio.Task[None]") -> None:
        """Let everything come to its end in a life without a kill, and read it all."""
        record = self._record
        async with Service(self._home) as service:
            await self._begin(service)
            self._provider.close()
            async with asyncio.timeout(REST):
                await sending
            try:
                await service.at_rest(REST)
            except TimeoutError:
                record.problems.append(f"not every run came to rest within {REST:g} s")
            runs = await service.runs()
            record.runs = {run["id"]: await service.ask(f"/runs/{run['id']}") for run in runs}
            record.histories = {id: (await service.ask(f"/runs/{id}/history"))["entries"] for id in record.runs}
            service.terminate()
            if code := await service.ended():
                record.problems.append(f"the last life ended with exit code {code}")
        record.answers = self._provider.answers
        record.problems += self._provider.problems
        record.lines = self._ledger.lines()
