"""Simulated people and programs: they answer waits, send events, cancel runs and resolve steps.

They learn what to answer from the ledger and from the API. Each request is repeated until the service has accepted or
refused it, in whichever life.
"""

import asyncio
import random
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec

from tests.kill.constructs import CANCELLED, RETRIED
from tests.kill.home import Home
from tests.kill.ledger import Line

PATIENCE = 5.0
PAUSE = 0.05
LOOK_PAUSE = 0.4
"""Seconds between two looks: at the ledger, and at what the API says is waited for."""

TWICE, CANCEL_EVERY = 0.3, 4
"""The share of answers and events that are sent a second time, and of how many runs one is cancelled."""

RETRIES = 2
"""How often a failed run is retried."""


@dataclass(slots=True)
class PeopleRecord:
    """What was sent to runs, and what was certainly accepted: each `*_taken` is a subset of its counterpart."""

    answers: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    answers_taken: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    events_taken: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    events_known: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    cancels: set[str] = field(default_factory=set)
    cancels_taken: dict[str, int] = field(default_factory=dict)  # when, in milliseconds
    verdicts: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    verdicts_taken: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    retries: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    retries_taken: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    problems: list[str] = field(default_factory=list)


class People:
    """Sends to the current `url`, and nothing while it is empty."""

    def __init__(self, home: Home, chance: random.Random) -> None:
        self._home = home
        self._chance = chance
        self._client = httpx.AsyncClient(trust_env=False, timeout=PATIENCE)
        self._known: set[tuple[str, ...]] = set()
        self._deciding: set[tuple[str, str]] = set()
        self._is_closing = self._lets_runs_rest = False
        self.url = ""
        self.people = PeopleRecord()

    async def work(self) -> None:
        """Poll until `close`, and answer what is asked."""
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look(group))
            for line in _tail(self._home.ledger):
                if self._is_closing:
                    break
                if line is None:
                    await asyncio.sleep(PAUSE)
                else:
                    self._read(group, line)
            await looking

    def let_runs_rest(self) -> None:
        """Retry no more runs."""
        self._lets_runs_rest = True

    def close(self) -> None:
        self._is_closing = True

    # -- requests from the ledger-----------------------------------------------------------------------------------

    def _read(self, group: asyncio.TaskGroup, line: Line) -> None:
        for link in line.tell.get("links", ()):
            _, _, place = link.partition("/waits/")
            self._once(group, ("link", place), partial(self._answer, place))
        if about := line.tell.get("events"):
            for number in range(2):
                self._once(group, ("event", about, str(number)), partial(self._emit, about, number))
        pipeline = line.event.split("-")[1] if line.event.count("-") == 2 and "." not in line.event else ""
        if pipeline in CANCELLED and zlib.crc32(line.event.encode()) % CANCEL_EVERY == 0:
            self._once(group, ("cancel", line.run), partial(self._cancel, line.run))

    def _once(
        self, group: asyncio.TaskGroup, what: tuple[str, ...], work: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        if what not in self._known:
            self._known.add(what)
            group.create_task(work())

    async def _answer(self, place: str) -> None:
        """Answer a link: early or late, and sometimes again with a different answer."""
        run, path, _ = place.split("/")
        for number in range(1 + (self._chance.random() < TWICE)):
            await asyncio.sleep(self._chance.uniform(0, 0.4))
            words = f"{run}/{path}/{number}"
            self.people.answers[run, path].add(words)
            answer = await self._say(f"/waits/{place}", {"words": words})
            if answer.status_code == 202:
                self.people.answers_taken[run, path].append(words)
            self._expect(answer, 202, 409, 410)

    async def _emit(self, about: str, number: int) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.4))
        key = f"{about}#{number}"
        self.people.events[about].add(key)
        for _ in range(1 + (self._chance.random() < TWICE)):
            answer = await self._say(
                "/api/events", {"type": "kill.said", "subject": about, "data": number}, {"idempotency-key": key}
            )
            if answer.is_success:
                self.people.events_taken[about].add(key)
                self.people.events_known[key].add(answer.json()["event"])
            self._expect(answer, 200, 202)

    async def _cancel(self, run: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        self.people.cancels.add(run)
        answer = await self._say(f"/api/runs/{run}/cancel", {})
        if answer.status_code == 202:
            self.people.cancels_taken[run] = time.time_ns() // 1_000_000
        self._expect(answer, 202, 409)

    # -- requests from the API--------------------------------------------------------------------------------------

    async def _look(self, group: asyncio.TaskGroup) -> None:
        while not self._is_closing:
            for wait in await self._waits():
                place = wait["run"], wait["step"]
                if wait["kind"] == "approval":
                    self._once(group, ("approval", *place), partial(self._approve, *place))
                elif wait["kind"] == "decision" and place not in self._deciding:
                    self._deciding.add(place)
                    group.create_task(self._decide(*place))
            for run in await self._list_failed():
                number = self.people.retries_taken[run]
                if number < RETRIES:
                    self._once(group, ("retry", run, str(number)), partial(self._retry, run))
            await asyncio.sleep(LOOK_PAUSE)

    async def _list_failed(self) -> list[str]:
        """The failed runs that people retry, the newest first."""
        page = await self._try("GET", f"/api/runs?pipeline={RETRIED}&status=failed&limit=200")
        return [run["id"] for run in page.json()["runs"]] if page is not None and page.is_success else []

    async def _retry(self, run: str) -> None:
        """Retry a failed run, sometimes twice at once. If the answer is lost in a crash, a further request is refused,
        unless the run has failed again."""
        number = 1 + (self._chance.random() < TWICE)
        await asyncio.sleep(self._chance.uniform(0, 0.3))
        if self._lets_runs_rest:
            return
        self.people.retries[run] += number
        for answer in await asyncio.gather(*(self._say(f"/api/runs/{run}/retry", {}) for _ in range(number))):
            self.people.retries_taken[run] += answer.status_code == 202
            self._expect(answer, 202, 409)
        self._known.discard(("retry", run, str(self.people.retries_taken[run])))

    async def _waits(self) -> list[dict[str, Any]]:
        """The waits that the API lists."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self._try("GET", f"/api/waits?limit=1000{after}")
            if page is None or not page.is_success:
                return found
            found += page.json()["waits"]
            if page.json()["after"] is None:
                return found
            after = f"&after={page.json()['after']}"

    async def _approve(self, run: str, step: str) -> None:
        words = f"{run}/{step}/approved"
        self.people.answers[run, step].add(words)
        answer = await self._say(f"/api/runs/{run}/answer", {"step": step, "approved": True, "comment": words})
        if answer.status_code == 202:
            self.people.answers_taken[run, step].append(words)
        self._expect(answer, 202, 409)

    async def _decide(self, run: str, step: str) -> None:
        """Resolve a step, after some time in which it stays paused."""
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        verdict = self._chance.choice(["completed", "retry", "failed"])
        output = {"output": {"receipt": 0}} if verdict == "completed" else {}
        self.people.verdicts[run, step].append(verdict)
        answer = await self._say(f"/api/runs/{run}/resolve", {"step": step, "verdict": verdict, **output})
        self.people.verdicts_taken[run, step] += answer.status_code == 202
        self._expect(answer, 202, 409)
        self._deciding.discard((run, step))

    # -- HTTP -------------------------------------------------------------------------------------------------------

    def _expect(self, answer: httpx.Response, *statuses: int) -> None:
        if answer.status_code not in statuses:
            self.people.problems.append(f"{answer.request.url} was answered {answer.status_code}: {answer.text[:200]}")

    async def _say(self, path: str, document: object, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send until there is a response other than "try again later"."""
        while True:
            answer = await self._try("POST", path, json=document, headers=headers or {})
            if answer is not None and answer.status_code != 503:
                return answer
            await asyncio.sleep(PAUSE)

    async def _try(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response | None:
        if not self.url:
            return None
        with suppress(httpx.TransportError, OSError):
            key = (self._home.data / "api.key").read_text().strip()
            given = {"accept": "application/json", "authorization": f"Bearer {key}", **(headers or {})}
            return await self._client.request(method, f"{self.url}{path}", headers=given, **more)
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


def _tail(file: Path) -> Iterator[Line | None]:
    """Every line of a growing file, and None where there is none yet."""
    with file.open("rb") as lines:
        rest = b""
        while True:
            rest += lines.read()
            *whole, rest = rest.split(b"\n")
            yield from (msgspec.json.decode(line, type=Line) for line in whole)
            yield None
