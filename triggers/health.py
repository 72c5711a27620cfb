"""What operators and their tools ask: `/health`, `/ready` and `/metrics`.

These need no key and have no limit, since load balancers and monitors ask from anywhere. So that strangers cannot make
them expensive, all requests of the same moment share one check of the journal or one rendering of the metrics.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from durable import metrics
from durable.engine import Engine
from durable.history.words import RunStatus
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.journal.runs import count_unfinished
from triggers.config.folder import Folder

UNFINISHED_STATUSES: tuple[RunStatus, ...] = ("queued", "running", "waiting", "paused")

MOST_COUNTED = 100_000
"""The unfinished runs that `/metrics` counts at most."""

COUNT_SECONDS = 5.0
"""How long a count of unfinished runs is used."""

HEALTH, READY, METRICS = PATHS = ("/health", "/ready", "/metrics")

Result = TypeVar("Result")


class SharedWork(Generic[Result]):
    """Work that runs once at a time, with a pause (s) after it. Its result goes to all who asked before it began."""

    def __init__(self, work: Callable[[], Awaitable[Result]], pause: float = 0.05) -> None:
        self._work = work
        self._pause = pause
        self._earliest = 0.0
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Result] | None = None

    async def result(self) -> Result:
        """The result of work that begins from now on; raises what it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._perform())
        return await asyncio.shield(self._next)

    async def _perform(self) -> Result:
        async with self._turn:
            if (wait := self._earliest - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._next = None
            try:
                return await self._work()
            finally:
                self._earliest = time.monotonic() + self._pause


class Health:
    """Answers `/health`, `/ready` and `/metrics`. A service with an `invalid` pipeline file, with `unreadable` runs or
    with stored secrets and tokens that cannot be decrypted is ready: it accepts events for the others."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        folder: Folder,
        largest_body: int,
        count_unreadable_values: Callable[[], int],
    ) -> None:
        self._count_unreadable_values = count_unreadable_values
        self._journal = journal
        self._engine = engine
        self._folder = folder
        room = 2 * largest_body  # what a delivery of the largest body takes: the event, and what a run is given of it
        self._probe = SharedWork(lambda: journal.is_writable(room))
        self._exposition = SharedWork(self._render_metrics)
        self._next_count = 0.0

    def routes(self) -> list[Route]:
        return [
            Route(HEALTH, self.health, methods=["GET"]),
            Route(READY, self.ready, methods=["GET"]),
            Route(METRICS, self.metrics, methods=["GET"]),
        ]

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 if the journal accepts writes, so that events can be accepted; else 503 with the reason."""
        invalid = [file.path.name for file in self._folder.files if not file.is_valid]
        if self._folder.connections and not self._folder.connections.is_valid:
            invalid.append(self._folder.connections.path.name)
        try:
            problem = "the service is shutting down" if self._engine.is_draining else await self._find_write_problem()
        except JournalError as error:
            problem = str(error)
        if problem:
            return JSONResponse({"ready": False, "reason": problem}, 503, {"Retry-After": "5"})
        counts = {"unreadable": self._engine.count_unreadable(), "unreadable_values": self._count_unreadable_values()}
        return JSONResponse(
            {"ready": True, "invalid": invalid} | {name: count for name, count in counts.items() if count}
        )

    async def _find_write_problem(self) -> str | None:
        if self._journal.damage:
            return self._journal.damage
        if await self._probe.result():
            return None
        return "the journal takes no writes, or the disk has no room for a delivery"

    async def metrics(self, request: Request) -> Response:
        """The metrics in Prometheus' text format."""
        return Response(await self._exposition.result(), media_type=metrics.CONTENT_TYPE)

    async def _render_metrics(self) -> bytes:
        with contextlib.suppress(JournalError):
            space = await self._journal.measure_space()
            metrics.JOURNAL_BYTES.set(space.database)
            metrics.JOURNAL_FREE_BYTES.set(space.free)
            metrics.JOURNAL_LOG_BYTES.set(space.log)
            await self._count_unfinished()
        return metrics.render_metrics()

    async def _count_unfinished(self) -> None:
        """Count unfinished runs, unless that was done a moment ago: many take long to count."""
        if time.monotonic() < self._next_count:
            return
        counted = {each.status: each for each in await self._journal.read(count_unfinished, MOST_COUNTED)}
        for status in UNFINISHED_STATUSES:
            found = counted.get(status)
            metrics.UNFINISHED_RUNS.labels(status).set(found.count if found else 0)
            metrics.OLDEST_UNFINISHED_TIME.labels(status).set(found.oldest / 1000 if found else 0)
        self._next_count = time.monotonic() + COUNT_SECONDS
