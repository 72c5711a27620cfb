"""An action that tests block and count, and copies of data folders as a crash leaves them."""

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from durable.action import ActionError, Connector, Context, Inputs, action
from durable.history.entries import AnyEntry
from durable.journal.sqlite.files import FILE_NAME
from tests.service.running import ENVIRONMENT, Running, running


class Passing(Inputs):
    what: str
    value: Any = None


class Gates:
    """Gates for the action `gate.pass`, which returns its value. `keys` holds the idempotency keys with which each gate
    was passed, `failures` how often passing it fails at first, `most` the highest number that passed at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.passed: list[str] = []
        self.keys: dict[str, list[str]] = {}
        self.given: list[Any] = []
        self.failures: Counter[str] = Counter()
        self.closed: dict[str, asyncio.Event] = {}
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._moved = asyncio.Condition()
        self.connector = Connector("gate", "Holds steps back.", (action("pass", input=Passing)(self._perform),))

    async def _perform(self, context: Context, input: Passing, /) -> Any:
        """Pass a gate."""
        what = input.what
        self.now[what] += 1
        self.most[what] = max(self.most[what], self.now[what])
        self.begun.append(what)
        self.keys.setdefault(what, []).append(context.key)
        await self._tell()
        try:
            if what in self.closed:
                await self.closed[what].wait()
            if self.failures[what]:
                self.failures[what] -= 1
                raise ActionError("the gate is shut", error_class="server", ending="answered")
        finally:
            self.now[what] -= 1
        self.passed.append(what)
        self.given.append(input.value)
        await self._tell()
        return {"value": input.value}

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def close(self, *what: str) -> None:
        for each in what:
            self.closed[each] = asyncio.Event()

    def open(self, *what: str) -> None:
        for each in what:
            self.closed.pop(each).set()

    async def wait_until_reached(self, what: str, times: int = 1) -> None:
        """Return once the gate was reached `times` times."""
        async with asyncio.timeout(60), self._moved:
            await self._moved.wait_for(lambda: self.begun.count(what) >= times)

    @asynccontextmanager
    async def serving(self, place: Path, pipelines: Mapping[str, str], **settings: object) -> AsyncIterator[Running]:
        """A service with these gates, which stops as in a crash."""
        chosen = {"drain_timeout": "0s", **settings}
        async with running(place, pipelines, ENVIRONMENT, [self.connector], **chosen) as at:
            problems = [str(problem) for file in at.service.folder.files for problem in file.problems]
            assert all(": warning: " in problem for problem in problems), problems
            yield at


def copy_after_crash(place: Path) -> Path:
    """Copy the data folder as it is on disk now, which is what the next process finds after a power failure."""
    after = place.with_name(f"{place.name}-dead")
    shutil.copytree(place / "data", after / "data")
    return after


def truncate_history(place: Path, run: str, tag: str) -> None:
    """Remove the commit of the first entry of this kind and all later ones from a run's history, as if the process
    had died before it."""
    with closing(sqlite3.connect(place / "data" / FILE_NAME)) as database, database:
        rows = database.execute("select sequence, entries from entries where run = ? order by sequence", [run])
        first = next(sequence for sequence, data in rows.fetchall() if f'"type":"{tag}"'.encode() in data)
        database.execute("delete from entries where run = ? and sequence >= ?", [run, first])
        database.execute(
            "update runs set sequence = ?, status = 'running', finished_at = null, node = 'dead', due_at = 0"
            " where id = ?",
            [first - 1, run],
        )


async def history(service: Running, run: str) -> list[AnyEntry]:
    return [entry for _, entry in await service.service.journal.read_history(run)]


async def kinds(service: Running, run: str) -> list[str]:
    """The history as a list of the entries' kinds."""
    return [str(entry.__struct_config__.tag) for entry in await history(service, run)]


async def until_entry(service: Running, run: str, kind: str, times: int = 1) -> None:
    """Return once the history has `times` entries of this kind."""
    async with asyncio.timeout(60):
        while (await kinds(service, run)).count(kind) < times:
            await asyncio.sleep(0.005)


async def until_out_of_memory(service: Running, run: str) -> None:
    async with asyncio.timeout(60):
        while run in service.service.runner.runs.by_id:
            await asyncio.sleep(0.005)


async def until_status(service: Running, run: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (found := await service.run(run))["status"] != status:
            await asyncio.sleep(0.005)
        return found


async def begin(service: Running, pipeline: str, **inputs: Any) -> str:
    answer = await service.start(pipeline, inputs)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def rows(place: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Query the database of a data folder."""
    with closing(sqlite3.connect(place / "data" / FILE_NAME)) as database:
        return database.execute(sql, values).fetchall()
