"""The states of many runs: those that have changed, each as it is now. What happened in between is in their histories.

A cursor that is not known any more, because the service was started again or too many runs have changed since, begins
anew: `reset`, then every unfinished run and the newest others. A run that a client knows as unfinished, and that does
not come then, has ended.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from sqlalchemy import Connection

from durable.journal.feed import Feed
from durable.journal.reads import Reads
from durable.journal.runs import list_runs, load_runs
from durable.journal.scan import Scan
from durable.units import Run
from triggers.documents.streams import RunStateDocument
from triggers.realtime.entry_pages import find_step
from triggers.realtime.events import StreamEvent, make_event
from triggers.realtime.permit import StreamPermit
from triggers.realtime.sources import EventBatch

UNFINISHED_LIMIT = 1_000
NEWEST_LIMIT = 100
"""How many runs a reset sends: unfinished ones, and the newest of all."""

PAGE_RUNS = 200
"""The changed runs that are read at once."""

KEPT_PAGES = 16
"""The last pages, for the streams that ask for them a moment later."""


class StateFilter(msgspec.Struct, frozen=True):
    """Selects the runs that meet every condition which is set, and that the permit includes."""

    permit: StreamPermit
    tag: str | None = None
    pipeline: str | None = None

    def includes(self, run: Run) -> bool:
        """Whether the run is selected."""
        return (
            (self.tag is None or self.tag in run.tags)
            and (self.pipeline is None or run.pipeline == self.pipeline)
            and self.permit.includes(run)
        )

    def list_current(self, connection: Connection) -> list[Run]:
        """The runs of a reset, the oldest first."""
        found: dict[str, Run] = {}
        scope = self.permit.scope
        if scope and scope.runs:
            found = {run.id: run for run in load_runs(connection, scope.runs)}
        for tag, pipeline in self._list_names():
            for run in list_runs(
                connection, tag=tag, pipeline=pipeline, is_unfinished=True, limit=UNFINISHED_LIMIT
            ) + list_runs(connection, tag=tag, pipeline=pipeline, limit=NEWEST_LIMIT):
                found[run.id] = run
        return [run for _, run in sorted(found.items()) if self.includes(run)]

    def _list_names(self) -> Iterator[tuple[str | None, str | None]]:
        """The tags and pipelines to list runs by."""
        scope = self.permit.scope
        if scope is None or self.tag in scope.tags or self.pipeline in scope.pipelines:
            yield self.tag, self.pipeline
            return
        for tag in scope.tags if self.tag is None else ():
            yield tag, self.pipeline
        for pipeline in scope.pipelines if self.pipeline is None else ():
            yield self.tag, pipeline


class RunStates:
    """Reads the states of runs. A read that began after the last change is shared by streams that need the same."""

    def __init__(self, reads: Reads, feed: Feed) -> None:
        self.feed = feed
        self._reads = reads
        self._begun: OrderedDict[tuple[str, ...], tuple[int, asyncio.Task[list[tuple[Run, bytes]]]]] = OrderedDict()

    async def load(self, runs: Sequence[str], wanted: StateFilter) -> list[bytes]:
        """Return the states of those of the runs that a filter selects, in their order, as JSON."""
        key = tuple(runs)
        position, task = self._begun.get(key, (-1, None))
        if task is None or position < self.feed.position or (task.done() and task.exception() is not None):
            task = asyncio.create_task(self._reads.scan(lambda scan: _load_states(scan, runs)))
            self._begun[key] = self.feed.position, task
            if len(self._begun) > KEPT_PAGES:
                self._begun.popitem(last=False)
        return [state for run, state in await asyncio.shield(task) if wanted.includes(run)]

    async def list_current(self, wanted: StateFilter) -> list[bytes]:
        """Return the states that a reset sends."""
        found = await self._reads.read(wanted.list_current)
        return await self._reads.scan(lambda scan: [state for _, state in _encode_states(scan, found)])


def _load_states(scan: Scan, ids: Sequence[str]) -> list[tuple[Run, bytes]]:
    return _encode_states(scan, scan.load_runs(ids))


def _encode_states(scan: Scan, runs: Iterable[Run]) -> list[tuple[Run, bytes]]:
    states: list[tuple[Run, bytes]] = []
    for run in runs:
        states.append((run, msgspec.json.encode(RunStateDocument.of(run, find_step(scan, run)))))
        scan.rest()
    return states


class StateEvents:
    """The states of the runs that a filter selects, after a cursor. The last event of each batch has the next cursor as
    its id."""

    topics: tuple[str, ...] = ("runs",)
    pause = 0.1
    """Between two reads: a busy service changes thousands of runs in a second."""

    def __init__(self, states: RunStates, wanted: StateFilter, after: str | None) -> None:
        self._states = states
        self._wanted = wanted
        self._cursor = after
        self._left: list[str] = []
        self._next = ""

    async def read(self) -> EventBatch:
        if not self._left:
            changes = self._states.feed.list_changes(self._cursor) if self._cursor is not None else None
            if changes is None:
                return await self._reset()
            self._left, self._next = list(reversed(changes.runs)), changes.cursor
        page, self._left = self._left[:PAGE_RUNS], self._left[PAGE_RUNS:]
        states = await self._states.load(page, self._wanted) if page else []
        if self._left:
            return EventBatch([StreamEvent("run", state) for state in states], is_partial=True)
        self._cursor = self._next
        return EventBatch(_end_with_cursor([StreamEvent("run", state) for state in states], self._cursor))

    async def _reset(self) -> EventBatch:
        cursor = self._states.feed.cursor
        states = await self._states.list_current(self._wanted)
        self._cursor = cursor
        events = [make_event("reset", {}), *(StreamEvent("run", state) for state in states)]
        return EventBatch(_end_with_cursor(events, cursor))

    def make_heartbeat(self) -> Sequence[StreamEvent]:
        """The cursor, which moves although no selected run has changed."""
        return [make_event("cursor", {}, self._cursor)]


def _end_with_cursor(events: list[StreamEvent], cursor: str) -> list[StreamEvent]:
    return [*events[:-1], events[-1]._replace(id=cursor)] if events else []
